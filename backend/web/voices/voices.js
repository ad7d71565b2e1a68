// Selection of voice and speed.

import { keyHeaders } from "../shared/key.js";
import { complaint } from "./voice_recorder.js";
import { keep, recall } from "../shared/store.js";
import { englishName, groupByLanguage, regionName, spokenName } from "./languages.js";
import { sampleIn } from "./samples.js";

const LONG = 10; // voices, from which on they can be searched
const FIXED = "This server speaks with these voices only. `duplex-tts voices` on it adds others.";

/** Events: `change`, `sample` (detail: {voice, text}), `problem` (detail: {text}). */
export class Voices extends EventTarget {
  #list;
  #note;
  #learning;
  #find;
  voice = recall("voice", undefined); // undefined: the server's default

  /** `learning`: the element shown if the server's engine supports voice cloning. */
  constructor({ list, note, learning, find }) {
    super();
    this.#find = find;
    find.addEventListener("input", () => this.#filter());
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
    this.#show(voices);
    return standard;
  }

  /** One list for each language, closed but for the user's and the selected voice's. */
  #show(voices) {
    const groups = groupByLanguage(voices);
    const sections = groups.map((group) => this.#section(group, groups.length > 1));
    this.#list.replaceChildren(...sections);
    this.#find.parentElement.hidden = voices.length < LONG;
    this.#filter();
  }

  #section({ language, name, voices }, several) {
    const list = Object.assign(document.createElement("ul"), { className: "voices" });
    const regions = new Set(voices.map((voice) => voice.language)).size > 1;
    list.append(...voices.map((voice) => this.#item(voice, regions)));
    if (!several) return list;
    const section = document.createElement("details");
    const head = document.createElement("summary");
    const own = Object.assign(document.createElement("span"), { textContent: name, lang: language, dir: "auto" });
    const about = document.createElement("small");
    const english = englishName(language);
    about.textContent = [english === name ? "" : english, voices.length].filter(Boolean).join(" · ");
    head.append(own, " ", about);
    section.append(head, list);
    section.dataset.words = `${name} ${english}`.toLowerCase();
    return section;
  }

  /** Show the voices that have all words of the search, in lists that are then open. */
  #filter() {
    const sought = this.#find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = false;
    for (const list of this.#list.querySelectorAll("ul")) {
      const section = list.closest("details");
      let any = false;
      for (const item of list.children) {
        const words = `${section?.dataset.words ?? ""} ${item.dataset.words}`;
        item.hidden = !sought.every((word) => words.includes(word));
        any ||= !item.hidden;
      }
      found ||= any;
      (section ?? list).hidden = !any;
      if (section) section.open = sought.length > 0 || list.querySelector("input:checked") !== null;
    }
    this.#find.setAttribute("aria-invalid", String(!found));
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
    for (const input of this.#list.querySelectorAll("input")) {
      input.checked = input.value === voice;
      const section = input.checked && input.closest("details");
      if (section) section.open = true;
    }
  }

  #item({ name, language, description, ready, learned }, regions) {
    const item = document.createElement("li");
    const region = regions ? regionName(language) : "";
    const spoken = spokenName(name);
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
    text.textContent = spoken;
    about.textContent = [region, description || language, ready ? "" : "needs download"]
      .filter(Boolean)
      .join(" · ");
    text.append(about);
    label.append(input, text);
    const sample = { voice: name, text: sampleIn(language) };
    item.append(label, button("Sample", `Sample of ${spoken}`, () => this.#tell("sample", sample)));
    item.dataset.words = `${name} ${spoken} ${about.textContent} ${language}`.toLowerCase();
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
