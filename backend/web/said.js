// What was said: the latest first, to be said again, saved or changed.

import { keep, recall } from "./store.js";
import { save, wav } from "./wav.js";

const MOST_TEXTS = 100;
const MOST_FRAMES = 30e6; // some ten minutes at 48 kHz, 60 MB; older sound is let go

/**
 * Events: `again` and `edit` (detail: the text).
 * `rate()` is the rate of the takes' samples, in Hz.
 */
export class Said extends EventTarget {
  #list;
  #controls;
  #rate;
  #entries = []; // the latest first: {node, takes, item, saveButton}
  #sound = []; // {take, chunk}: all chunks that are kept, the oldest first
  #frames = 0; // in them

  constructor({ list, empty, repeat, saveAll, forget }, rate) {
    super();
    this.#list = list;
    this.#controls = { empty, repeat, saveAll, forget };
    this.#rate = rate;
    repeat.addEventListener("click", () => this.repeat());
    saveAll.addEventListener("click", () => this.#save([...this.#entries].reverse()));
    forget.addEventListener("click", () => this.#forget());
    for (const text of recall("said", []).reverse()) {
      if (typeof text === "string") this.#insert(document.createTextNode(text), []);
    }
    this.#refresh();
  }

  /** A new entry; `node` carries its text, and may be lit; `takes` hold its audio. */
  add(node, takes) {
    this.#insert(node, takes);
    keep("said", this.#texts());
    this.#refresh();
  }

  /** The entry's audio goes on in another take. */
  extend(take, next) {
    this.#entries.find(({ takes }) => takes.includes(take))?.takes.push(next);
  }

  /** The take has a new chunk: keep it, and let go of the oldest when there are too many. */
  keepSound(take) {
    const chunk = take.chunks.length - 1;
    this.#sound.push({ take, chunk });
    this.#frames += take.chunks[chunk].length;
    while (this.#frames > MOST_FRAMES) {
      const oldest = this.#sound[0];
      const frames = oldest.take.chunks[oldest.chunk].length;
      if (!oldest.take.forget(oldest.chunk)) break; // still to be played
      this.#sound.shift();
      this.#frames -= frames;
    }
  }

  /** A take has all its audio. */
  refresh() {
    keep("said", this.#texts()); // what was taken back in time was not said
    this.#refresh();
  }

  repeat() {
    if (this.#entries.length > 0) this.#tell("again", this.#entries[0].node.data);
  }

  last() {
    return this.#entries[0]?.node.data;
  }

  #texts() {
    return this.#entries.map(({ node }) => node.data);
  }

  #insert(node, takes) {
    const item = document.createElement("li");
    const text = document.createElement("p");
    text.dir = "auto";
    text.append(node);
    const actions = document.createElement("div");
    const entry = { node, takes, item };
    const again = button("Say again", () => this.#tell("again", node.data));
    const edit = button("Edit", () => this.#tell("edit", node.data));
    entry.saveButton = button("WAV", () => this.#save([entry]));
    entry.saveButton.setAttribute("aria-label", "Save as WAV");
    actions.append(again, edit, entry.saveButton);
    item.append(text, actions);
    this.#list.prepend(item);
    this.#entries.unshift(entry);
    while (this.#entries.length > MOST_TEXTS) this.#entries.pop().item.remove();
  }

  #save(entries) {
    const rate = this.#rate();
    const heard = entries.flatMap(({ takes }) => takes.flatMap((take) => take.heardChunks(rate)));
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    save(wav(heard, rate), `said-${stamp}.wav`);
  }

  #forget() {
    this.#entries = [];
    this.#list.replaceChildren();
    keep("said", []);
    this.#refresh();
  }

  #refresh() {
    const { empty, repeat, saveAll, forget } = this.#controls;
    const audible = ({ takes }) => takes.some((take) => take.frames > take.forgotten);
    for (const entry of this.#entries) entry.saveButton.disabled = !audible(entry);
    empty.hidden = this.#entries.length > 0;
    repeat.disabled = forget.disabled = this.#entries.length === 0;
    saveAll.disabled = !this.#entries.some(audible);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function button(label, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  element.addEventListener("click", act);
  return element;
}
