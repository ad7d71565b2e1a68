// Selection of voice and speed.

import { keyHeaders } from "../shared/key.js";
import { complaint } from "./voice_recorder.js";
import { keep, recall } from "../shared/store.js";

const SAMPLE = "Hello. This is how I sound when I read your words aloud.";
const FIXED = "This server's engine speaks with these voices only.";

/** Events: `change`, `sample` (detail: {voice, text}), `problem` (detail: {text}). */
export class Voices extends EventTarget {
  #list;
  #note;
  #learning;
  voice = recall("voice", undefined); // undefined: the server's default

  /** `learning`: the element shown if the server's engine supports voice cloning. */
  constructor({ list, note, learning }) {
    super();
    this.#list = list;
    this.#note = note;
    this.#learning = learning;
  }

  /** Ask the server for its voices. Returns the name of its default. */
  async load() {
    const response = await fetch("v1/voices", { headers: keyHeaders() });
    if (!response.ok) throw new Error(`the server has no voices to offer (${response.status})`);
    const { default: standard, voices, clones } = await response.json();
    this.#note.textContent = clones ? "" : FIXED;
    this.#learning.hidden = !clones;
    if (!voices.some(({ name }) => name === this.voice)) this.voice = standard;
    this.#list.replaceChildren(...voices.map((voice) => this.#item(voice)));
    return standard;
  }

  /** Select this voice for new speech. */
  choose(name) {
    this.fallBack(name);
    keep("voice", name);
    this.#changed();
  }

  /** The selected voice is unavailable; this one is used. */
  fallBack(voice) {
    this.voice = voice;
    for (const input of this.#list.querySelectorAll("input")) input.checked = input.value === voice;
  }

  #item({ name, language, description, ready, learned }) {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {
      type: "radio",
      name: "voice",
      value: name,
      checked: name === this.voice,
    });
    input.addEventListener("change", () => this.choose(name));
    const text = document.createElement("span");
    const about = document.createElement("small");
    text.textContent = name.charAt(0).toUpperCase() + name.slice(1);
    about.textContent = [description || language, ready ? "" : "needs download"]
      .filter(Boolean)
      .join(" · ");
    text.append(about);
    label.append(input, text);
    item.append(label, button("Sample", `Sample of ${name}`, () => this.#tell("sample", { voice: name, text: SAMPLE })));
    if (learned) item.append(this.#removeButton(name));
    return item;
  }

  /** Asks for confirmation in place: removal is permanent. */
  #removeButton(name) {
    const remove = button("Remove", `Remove ${name}`, () => {
      if (remove.dataset.sure) return this.#remove(name);
      remove.dataset.sure = "yes";
      remove.textContent = "Really?";
      remove.setAttribute("aria-label", `Really remove ${name}`);
    });
    remove.addEventListener("blur", () => {
      delete remove.dataset.sure;
      remove.textContent = "Remove";
      remove.setAttribute("aria-label", `Remove ${name}`);
    });
    return remove;
  }

  async #remove(name) {
    try {
      const address = `v1/voices/${encodeURIComponent(name)}`;
      const answer = await fetch(address, { method: "DELETE", headers: keyHeaders() });
      if (!answer.ok) throw new Error(await complaint(answer));
      await this.load();
      this.#changed(); // it may have been the selected voice
      this.#list.querySelector("input:checked")?.focus();
    } catch (error) {
      this.#tell("problem", { text: `${name} was not removed: ${error.message}` });
    }
  }

  #changed() {
    this.#tell("change");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function button(text, label, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.setAttribute("aria-label", label);
  element.addEventListener("click", act);
  return element;
}
