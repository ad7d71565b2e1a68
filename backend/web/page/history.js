// Spoken texts, latest first: can be searched, repeated, edited, copied and downloaded.

import { button } from "../shared/controls.js";
import { keyHeaders } from "../shared/key.js";
import { complaint } from "../voices/voice_recorder.js";
import { keep, recall } from "../shared/store.js";
import { wav } from "../client/wav.js";
import { save } from "../shared/save.js";

const MOST_TEXTS = 1000;
const SHOWN = 50; // initially; older entries are found by search, or shown on demand
const MOST_FRAMES = 30e6; // about ten minutes at 48 kHz, 60 MB; older audio is dropped
const UNSPOKEN = "Not spoken";

let items = 0;

/**
 * Events: `again`, `edit`, `star` (detail: the text), `cleared` (detail: an undo function), `problem` (detail: {text}).
 * `rate()` is the sample rate of the takes, in Hz; `manner()` the current voice parameters.
 */
export class History extends EventTarget {
  #parts;
  #rate;
  #manner;
  #entries = []; // latest first: {node, takes, item, note}
  #shown = SHOWN;
  #sound = []; // {track, chunk}: all chunks kept, oldest first
  #frames = 0; // total in #sound

  /** `parts`: elements `list`, `empty`, `repeat`, `clear`, `search`, `more`. */
  constructor(parts, rate, manner) {
    super();
    this.#parts = parts;
    this.#rate = rate;
    this.#manner = manner;
    parts.repeat.addEventListener("click", () => this.repeat());
    parts.clear.addEventListener("click", () => this.#clear());
    parts.search.addEventListener("input", () => this.#search());
    parts.more.addEventListener("click", () => this.#showMore());
    parts.list.addEventListener("click", (event) => this.#clicked(event));
    this.restore(recall("history", recall("said", [])));
  }

  /** All entries, to be saved or passed to `restore`: [{text, note}], latest first. */
  get all() {
    return this.#entries.map(({ node, note }) => ({ text: node.data, note }));
  }

  /** Returns an undo function that keeps entries added since. */
  restore(all) {
    const before = this.#entries;
    const restored = [];
    for (const one of Array.isArray(all) ? all.slice(0, MOST_TEXTS) : []) {
      const text = typeof one === "string" ? one : one?.text;
      if (typeof text === "string") restored.push(entry(text, one.note));
    }
    this.#replace(restored);
    return () => {
      const since = this.#entries.filter((one) => !restored.includes(one));
      this.#replace([...since, ...before].slice(0, MOST_TEXTS));
    };
  }

  #replace(entries) {
    this.#entries = [...entries];
    this.#keep();
    this.#search();
  }

  /** Add an entry; `node` holds its text, for highlights; `takes` hold its audio. */
  add(node, takes) {
    this.#insert({ node, takes, note: "" });
  }

  /** Add a text that was not spoken here, with the reason. */
  note(text, note = UNSPOKEN) {
    this.#insert(entry(text, note));
  }

  /** The entry's audio continues in another take. */
  extend(take, next) {
    this.#of(take)?.takes.push(next);
  }

  /** The take has ended: its unspoken text is removed from the entry. */
  shorten(take) {
    const found = this.#of(take);
    if (!found) return;
    found.node.data = found.node.data.slice(0, take.base + take.spoken);
    if (found.node.data.trim()) return this.#keep();
    this.#entries.splice(this.#entries.indexOf(found), 1);
    found.item?.remove();
    this.#keep();
  }

  /** The take has a new chunk: keep it, and drop the oldest beyond the limit. */
  keepSound(take) {
    const { track } = take;
    const chunk = track.chunks.length - 1;
    this.#sound.push({ track, chunk });
    this.#frames += track.chunks[chunk].length;
    while (this.#frames > MOST_FRAMES) {
      const oldest = this.#sound[0];
      const frames = oldest.track.chunks[oldest.chunk].length;
      if (!oldest.track.forget(oldest.chunk)) break; // not yet played
      this.#sound.shift();
      this.#frames -= frames;
    }
  }

  /** The take's audio is complete. Returns whether its entry has no audio at all. */
  finished(take) {
    const found = this.#of(take);
    if (!found) return false;
    const silent = found.takes.every((one) => one.complete && one.track.frames === 0 && one.accounted);
    if (silent) this.#setNote(found, "Not spoken: the voice cannot read it");
    else if (found.takes.some((one) => one.silent.length > 0)) this.#setNote(found, "The voice cannot read all of it");
    this.#keep(); // text deleted before it was spoken is not part of it
    return silent;
  }

  repeat() {
    const last = this.#entries[0];
    if (last) this.#tell("again", last.node.data);
  }

  #of(take) {
    return this.#entries.find(({ takes }) => takes.includes(take));
  }

  #insert(one) {
    this.#entries.unshift(one);
    while (this.#entries.length > MOST_TEXTS) this.#entries.pop().item?.remove();
    this.#keep();
    if (this.#parts.search.value) return this.#search();
    this.#parts.list.prepend(this.#item(one));
    if (this.#parts.list.childElementCount > this.#shown) this.#parts.list.lastChild.remove();
    this.#refresh();
  }

  #keep() {
    keep("history", this.all);
    this.#refresh();
  }

  // --- rendering ------------------------------------------------------------------------------

  #search() {
    this.#shown = SHOWN;
    this.#showMatches();
  }

  #showMore() {
    this.#shown += SHOWN;
    this.#showMatches();
  }

  #showMatches() {
    const wanted = this.#parts.search.value.trim().toLocaleLowerCase();
    const matches = this.#entries.filter(({ node }) => node.data.toLocaleLowerCase().includes(wanted));
    this.#parts.list.replaceChildren(...matches.slice(0, this.#shown).map((one) => this.#item(one)));
    this.#parts.more.hidden = matches.length <= this.#shown;
    this.#refresh(matches.length);
  }

  #refresh(matches = this.#entries.length) {
    const { empty, repeat, clear, search } = this.#parts;
    const none = this.#entries.length === 0;
    repeat.disabled = clear.disabled = none;
    search.closest("label").hidden = none;
    empty.hidden = !none && matches > 0;
    empty.textContent = none
      ? "What you say is listed here. It stays in this browser."
      : "Nothing that was said has these words.";
  }

  #item(one) {
    if (one.item) return one.item;
    const item = document.createElement("li");
    const text = document.createElement("p");
    text.dir = "auto";
    text.append(one.node);
    const actions = document.createElement("div");
    const more = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "More";
    more.append(summary);
    more.addEventListener("toggle", () => more.open && fill(more), { once: true });
    actions.append(action("again", "Say again"), action("edit", "Edit"), more);
    item.append(text, actions);
    text.id = `said-${++items}`;
    for (const control of [...actions.querySelectorAll("button"), summary]) nameWith(control, text);
    one.item = item;
    this.#setNote(one, one.note);
    return item;
  }

  #setNote(one, note) {
    one.note = note;
    if (!note || !one.item) return;
    one.item.querySelector("small")?.remove();
    const small = document.createElement("small");
    small.textContent = note;
    one.item.firstChild.after(small);
  }

  #clicked({ target }) {
    const type = target.closest("button")?.dataset.act;
    const one = type && this.#entries.find(({ item }) => item?.contains(target));
    if (!one) return;
    if (["again", "edit", "star", "copy"].includes(type)) this.#tell(type, one.node.data);
    else this.#download(one, type);
  }

  // --- files ----------------------------------------------------------------------------------

  async #download({ node, takes }, format) {
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    const whole = takes.length > 0 && takes.every((take) => take.complete && !take.track.forgotten);
    try {
      const file = whole && format === "wav" ? this.#sounds(takes) : await this.#speak(node.data, format);
      save(file, `said-${stamp}.${format}`);
    } catch (error) {
      this.#tell("problem", { text: `There is no file: ${error.message}` });
    }
  }

  #sounds(takes) {
    const rate = this.#rate();
    return wav(takes.flatMap((take) => take.heardChunks(rate)), rate);
  }

  async #speak(input, format) {
    const { voice, speed } = this.#manner();
    const answer = await fetch("v1/audio/speech", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...keyHeaders() },
      body: JSON.stringify({ model: "tts-1", input, voice, speed, response_format: format }),
    });
    if (!answer.ok) throw new Error(await complaint(answer));
    return answer.blob();
  }

  #clear() {
    this.#parts.search.value = "";
    this.#tell("cleared", this.restore([]));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function entry(text, note = "") {
  return { node: document.createTextNode(text), takes: [], note };
}

/** A control's label, with its entry's text: many controls are alike. */
function nameWith(control, text) {
  control.id = `${text.id}-${control.textContent.replaceAll(" ", "-")}`;
  control.setAttribute("aria-labelledby", `${control.id} ${text.id}`);
}

function action(type, text) {
  const element = button(text);
  element.dataset.act = type;
  return element;
}

function fill(more) {
  const row = document.createElement("div");
  const actions = { copy: "Copy", star: "Add to phrases", wav: "Save as WAV", mp3: "Save as MP3" };
  row.append(...Object.entries(actions).map(([type, text]) => action(type, text)));
  more.append(row);
}
