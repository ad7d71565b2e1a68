// Persistent user settings: stored in this browser and included in the backup file.

import { keep, recall } from "../shared/store.js";

const SHOWN = {
  speed: (value) => `${value.toFixed(2)}×`,
  volume: (value) => `${Math.round(value * 100)} %`,
  size: (value) => `${Math.round(value * 100)} %`,
  still: (value) => (value === 0 ? "off" : `${value} s`),
  scan: (value) => `${value.toFixed(1)} s`,
  switches: (value) => (value === 0 ? "off" : value === 1 ? "1 switch" : `${value} switches`),
  hold: (value) => (value === 0 ? "off" : `${value.toFixed(1)} s`),
};
const TYPING = ["auto", "word", "phrase", "sentence", "enter"];
const OF_OLD = { type: "auto", sentence: "sentence", enter: "enter" };

/** Event: `change` (detail: the setting's name). */
export class Settings extends EventTarget {
  #sliders;
  #typing;

  /** `sliders`: elements by name, each followed by its output. `typing`: radio buttons. */
  constructor(sliders, typing) {
    super();
    this.#sliders = sliders;
    this.#typing = [...typing];
    for (const [name, slider] of Object.entries(sliders)) {
      slider.addEventListener("input", () => this.#show(name));
      slider.addEventListener("change", () => this.#changed(name, this.value(name)));
    }
    for (const input of this.#typing) {
      input.addEventListener("change", () => this.#changed("typing", input.value));
    }
    const all = { typing: recall("typing", OF_OLD[recall("mode", "type")]) };
    for (const [name, slider] of Object.entries(sliders)) all[name] = recall(name, slider.value);
    this.restore(all);
  }

  value(name) {
    return Number(this.#sliders[name].value);
  }

  /** When words are spoken: one of the server's modes, or "enter". */
  get typing() {
    return this.#typing.find((input) => input.checked).value;
  }

  get all() {
    const values = Object.keys(this.#sliders).map((name) => [name, this.value(name)]);
    return { typing: this.typing, ...Object.fromEntries(values) };
  }

  /** Missing or invalid values leave the setting unchanged. */
  restore(all) {
    for (const [name, slider] of Object.entries(this.#sliders)) {
      if (Number.isFinite(Number(all?.[name]))) slider.value = all[name];
      this.#show(name);
      this.#changed(name, this.value(name));
    }
    const typing = TYPING.includes(all?.typing) ? all.typing : "auto";
    for (const input of this.#typing) input.checked = input.value === typing;
    this.#changed("typing", typing);
  }

  #show(name) {
    const slider = this.#sliders[name];
    const shown = SHOWN[name](Number(slider.value));
    slider.nextElementSibling.value = shown;
    slider.setAttribute("aria-valuetext", shown);
  }

  #changed(name, value) {
    keep(name, value);
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }
}
