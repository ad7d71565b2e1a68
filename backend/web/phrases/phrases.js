// Phrases as tiles, in categories: a tap, or Alt and a digit, says a phrase. The editor is
// phrase_editor.js.

import { button } from "../shared/controls.js";
import { Press } from "./hold.js";
import { keep, onKeptElsewhere, recall } from "../shared/store.js";

const AT_FIRST = [
  { category: "Quick", text: "Yes, please." },
  { category: "Quick", text: "No, thank you." },
  { category: "Quick", text: "One moment, I am typing.", short: "omt" },
  { category: "Quick", text: "Could you say that again?" },
  { category: "Quick", text: "Thank you very much!", short: "ty" },
  { category: "People", text: "Hello, nice to see you." },
  { category: "People", text: "How are you?" },
  { category: "People", text: "I speak with this device. I can hear you well." },
  { category: "People", text: "I am on my way.", short: "omw" },
  { category: "Needs", text: "Could you help me, please?" },
  { category: "Needs", text: "I need a break." },
  { category: "Needs", text: "I am in pain." },
];
const KEYS = 9;
const OTHERS = "Mine"; // category of phrases without a category

/** Events: `press` (detail: the phrase's text), `edit` (detail: its number), `changed`, `slip` (a tile
 *  was not held long enough).
 */
export class Phrases extends EventTarget {
  #parts;
  #phrases = []; // {text, category, short}
  #category = recall("category", "");
  #shown = []; // numbers of the phrases that have a tile
  #press;
  editing = false;

  /** `parts`: elements `tabs`, `tiles`, `search`. */
  constructor(parts) {
    super();
    this.#parts = parts;
    this.#press = new Press(parts.tiles, {
      act: (tile) => this.#pressed(Number(tile.dataset.at)),
      slip: () => this.#tell("slip"),
    });
    parts.search.addEventListener("input", () => this.#show());
    parts.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && parts.search.value.trim() && this.#shown.length > 0) this.#pressed(this.#shown[0]);
    });
    parts.tabs.addEventListener("keydown", (event) => this.#switchTab(event));
    parts.tiles.addEventListener("keydown", (event) => this.#moveByKey(event));
    const reload = () => this.restore(recall("board", recall("phrases", AT_FIRST)));
    onKeptElsewhere("board", reload);
    reload();
  }

  get all() {
    return this.#phrases;
  }

  get category() {
    return this.#category;
  }

  get categories() {
    return [...new Set(this.#phrases.map(({ category }) => category))];
  }

  set holdMs(ms) {
    this.#press.holdMs = this.editing ? 0 : ms;
  }

  restore(all) {
    const texts = Array.isArray(all) ? all : [];
    this.#phrases = texts
      .map((one) => (typeof one === "string" ? { text: one } : { ...one }))
      .filter(({ text }) => typeof text === "string" && text.trim())
      .map(({ text, category, short }) => clean(text, category, short));
    this.#changed();
  }

  /** Say the phrase with this number (from 1) among those shown. */
  digit(number) {
    if (number <= this.#shown.length) this.#tell("press", this.#phrases[this.#shown[number - 1]].text);
  }

  /** The expansion of a word, if it is an abbreviation. */
  expand(word) {
    const wanted = word.toLocaleLowerCase();
    return this.#phrases.find(({ short }) => short && short === wanted)?.text ?? word;
  }

  /** The phrase, other than number `at`, that already uses an abbreviation. */
  takenBy(short, at) {
    const wanted = clean("", "", short).short;
    return this.#phrases.find((one, number) => wanted && one.short === wanted && number !== at);
  }

  /** Add a phrase, or replace number `at`. */
  put({ text, category = this.#category, short }, at = this.#phrases.length) {
    this.#phrases.splice(at, 1, clean(text, category, short));
    this.#category = this.#phrases[at].category;
    this.#changed();
  }

  /** Returns an undo function. */
  remove(at) {
    const before = [...this.#phrases];
    this.#phrases.splice(at, 1);
    this.#changed();
    return () => this.restore(before);
  }

  /** Move a phrase to another's position, within its category. */
  move(from, to) {
    if (!(to in this.#phrases) || from === to) return;
    const { category } = this.#phrases[to];
    const [phrase] = this.#phrases.splice(from, 1);
    this.#phrases.splice(to, 0, { ...phrase, category });
    this.#changed();
  }

  /** The number of the phrase `steps` further among those shown. */
  neighbour(at, steps) {
    return this.#shown[this.#shown.indexOf(at) + steps];
  }

  #pressed(at) {
    if (this.editing) this.#tell("edit", at);
    else this.#tell("press", this.#phrases[at].text);
  }

  #moveByKey(event) {
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const tile = event.target.closest("[data-at]");
    if (!steps || !tile) return;
    event.preventDefault();
    const at = Number(tile.dataset.at);
    const to = this.neighbour(at, steps);
    if (to === undefined) return;
    if (event.altKey && this.editing) this.move(at, to);
    this.#parts.tiles.querySelector(`[data-at="${to}"]`)?.focus();
  }

  #switchTab(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!steps) return;
    const { categories } = this;
    const to = categories.at((categories.indexOf(this.#category) + steps) % categories.length);
    this.#open(to);
    this.#parts.tabs.querySelector("[aria-selected=true]").focus();
  }

  #open(category) {
    this.#category = category;
    this.#parts.search.value = "";
    keep("category", category);
    this.#show();
  }

  // --- rendering ------------------------------------------------------------------------------

  #changed() {
    keep("board", this.#phrases);
    keep("category", this.#category);
    this.#show();
    this.#tell("changed");
  }

  #show() {
    const { categories } = this;
    if (!categories.includes(this.#category)) this.#category = categories[0] ?? OTHERS;
    const wanted = this.#parts.search.value.trim().toLocaleLowerCase();
    const fits = ({ text, category, short }) =>
      wanted ? text.toLocaleLowerCase().includes(wanted) || short === wanted : category === this.#category;
    this.#shown = [...this.#phrases.keys()].filter((at) => fits(this.#phrases[at]));
    this.#parts.tabs.replaceChildren(...categories.map((category) => this.#tab(category, !wanted)));
    this.#parts.tiles.replaceChildren(...this.#shown.map((at, place) => this.#tile(at, place + 1)));
    if (this.#shown.length === 0) this.#parts.tiles.append(nothing());
    this.#parts.tiles.setAttribute("aria-label", wanted ? "Phrases found" : this.#category);
  }

  #tab(category, open) {
    const tab = button(category, () => this.#open(category));
    const selected = open && category === this.#category;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", selected);
    tab.setAttribute("aria-controls", this.#parts.tiles.id);
    tab.tabIndex = category === this.#category ? 0 : -1;
    return tab;
  }

  #tile(at, number) {
    const { text, short } = this.#phrases[at];
    const tile = button("");
    tile.dataset.at = at;
    const words = document.createElement("span");
    words.dir = "auto";
    words.textContent = text;
    tile.append(words);
    if (short) {
      tile.append(Object.assign(document.createElement("small"), { textContent: short }));
    }
    if (number <= KEYS) {
      tile.append(Object.assign(document.createElement("kbd"), { textContent: `Alt ${number}` }));
      tile.setAttribute("aria-keyshortcuts", `Alt+${number}`);
    }
    return tile;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function nothing() {
  return Object.assign(document.createElement("p"), { className: "hint", textContent: "No phrase has these words." });
}

function clean(text, category, short) {
  const word = typeof short === "string" ? short.trim().toLocaleLowerCase().split(/\s/)[0] : "";
  return { text: text.trim(), category: String(category ?? "").trim() || OTHERS, short: word };
}
