// Texts entered while the server was away: not spoken until the user confirms.

import { button } from "../shared/controls.js";
import { keep, recall } from "../shared/store.js";

/**
 * Events: `say` (detail: the text, for the server's voice), `keep` (detail: the text, for the
 * history), `discarded` (detail: the text), `failed` (this device's voice did not speak).
 */
export class Waiting extends EventTarget {
  #section;
  #list;
  #texts = recall("waiting", []).filter((text) => typeof text === "string");
  #online = false;

  constructor(section, list) {
    super();
    this.#section = section;
    this.#list = list;
    this.#show();
  }

  add(text) {
    this.#texts.push(text.trim());
    this.#show();
  }

  /** Whether the server's voice is available. */
  set online(online) {
    if (this.#online === online) return;
    this.#online = online;
    this.#show();
  }

  #show() {
    keep("waiting", this.#texts);
    this.#section.hidden = this.#texts.length === 0;
    this.#list.replaceChildren(...this.#texts.map((text, at) => this.#item(text, at)));
  }

  #item(text, at) {
    const item = document.createElement("li");
    const words = document.createElement("p");
    words.dir = "auto";
    words.textContent = text;
    const take = (type) => () => {
      this.#texts.splice(at, 1);
      this.#show();
      this.dispatchEvent(new CustomEvent(type, { detail: text }));
    };
    const actions = document.createElement("div");
    if (this.#online) actions.append(button("Say it", take("say"), `Say it: ${text}`));
    else if (globalThis.speechSynthesis) {
      const now = "Say it now with this device's voice";
      actions.append(button(now, () => this.#sayHere(text, take("keep")), `${now}: ${text}`));
    }
    actions.append(button("Keep", take("keep"), `Keep in the history: ${text}`));
    actions.append(button("Discard", take("discarded"), `Discard: ${text}`));
    item.append(words, actions);
    return item;
  }

  #sayHere(text, done) {
    const utterance = new SpeechSynthesisUtterance(text);
    utterance.onstart = done;
    utterance.onerror = ({ error }) => {
      if (!["interrupted", "canceled"].includes(error)) this.dispatchEvent(new Event("failed"));
    };
    speechSynthesis.speak(utterance);
  }
}
