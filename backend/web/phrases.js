// Quick phrases: one key each.

import { keep, recall } from "./store.js";

const AT_FIRST = [
  "Yes, please.",
  "No, thank you.",
  "One moment, I am typing.",
  "Could you say that again?",
  "Thank you very much!",
];
const KEYS = 9;

/** Event: `say` (detail: the phrase). */
export class Phrases extends EventTarget {
  #list;
  #phrases;

  constructor(list, editor) {
    super();
    this.#list = list;
    this.#phrases = recall("phrases", AT_FIRST);
    editor.value = this.#phrases.join("\n");
    editor.addEventListener("input", () => {
      this.#phrases = editor.value.split("\n").filter((line) => line.trim());
      keep("phrases", this.#phrases);
      this.#show();
    });
    this.#show();
  }

  /** Say the phrase with this number (from 1). */
  press(number) {
    const phrase = this.#phrases[number - 1];
    if (phrase) this.dispatchEvent(new CustomEvent("say", { detail: phrase }));
  }

  #show() {
    this.#list.replaceChildren(...this.#phrases.map((phrase, at) => this.#item(phrase, at + 1)));
  }

  #item(phrase, number) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const text = document.createElement("span");
    button.type = "button";
    text.dir = "auto";
    text.textContent = phrase;
    button.append(text);
    if (number <= KEYS) {
      const key = document.createElement("kbd");
      key.textContent = `Alt ${number}`;
      button.append(key);
      button.setAttribute("aria-keyshortcuts", `Alt+${number}`);
    }
    button.addEventListener("click", () => this.press(number));
    item.append(button);
    return item;
  }
}
