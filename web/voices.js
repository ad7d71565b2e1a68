// Which voice speaks, and how fast.

import { keep, recall } from "./store.js";

const SAMPLE = "Hello. This is how I sound when I read your words aloud.";
const FIXED = "This server's engine speaks with these voices only.";
const LEARNS =
  "This server's engine can learn new voices from recordings; those it has learned are listed here.";

/** Events: `change`, and `sample` (detail: {voice, text}). */
export class Voices extends EventTarget {
  #list;
  #slider;
  #output;
  #note;
  #voice = recall("voice", undefined);

  constructor({ list, slider, output, note }) {
    super();
    this.#list = list;
    this.#slider = slider;
    this.#output = output;
    this.#note = note;
    slider.value = recall("speed", 1);
    this.#showSpeed();
    slider.addEventListener("input", () => this.#showSpeed());
    slider.addEventListener("change", () => {
      keep("speed", this.manner.speed);
      this.#changed();
    });
  }

  /** What a new take is spoken with; a voice that is undefined is the server's own choice. */
  get manner() {
    return { voice: this.#voice, speed: Number(this.#slider.value) };
  }

  /** Ask the server which voices it has. Returns the name of its own choice. */
  async load() {
    const response = await fetch("v1/voices");
    if (!response.ok) throw new Error(`the server has no voices to offer (${response.status})`);
    const { default: standard, voices, clones } = await response.json();
    this.#note.textContent = clones ? LEARNS : FIXED;
    if (!voices.some(({ name }) => name === this.#voice)) this.#voice = standard;
    this.#list.replaceChildren(...voices.map((voice) => this.#item(voice)));
    return standard;
  }

  /** The voice that was chosen cannot speak; this one does. */
  fallBack(voice) {
    this.#voice = voice;
    for (const input of this.#list.querySelectorAll("input")) input.checked = input.value === voice;
  }

  #item({ name, language, description, ready }) {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), {
      type: "radio",
      name: "voice",
      value: name,
      checked: name === this.#voice,
    });
    input.addEventListener("change", () => {
      this.#voice = name;
      keep("voice", name);
      this.#changed();
    });
    const text = document.createElement("span");
    const about = document.createElement("small");
    text.textContent = name.charAt(0).toUpperCase() + name.slice(1);
    about.textContent = [description || language, ready ? "" : "via network"]
      .filter(Boolean)
      .join(" · ");
    text.append(about);
    label.append(input, text);
    item.append(label, this.#sampleButton(name));
    return item;
  }

  #sampleButton(name) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Sample";
    button.setAttribute("aria-label", `Sample of ${name}`);
    button.addEventListener("click", () => {
      const detail = { voice: name, text: SAMPLE };
      this.dispatchEvent(new CustomEvent("sample", { detail }));
    });
    return button;
  }

  #showSpeed() {
    this.#output.value = `${Number(this.#slider.value).toFixed(2)}×`;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
