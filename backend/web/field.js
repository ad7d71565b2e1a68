// The text field: what is typed becomes what is spoken, as far as the mode lets it.
//
// The field's text is `[said before | take]`: the take at hand speaks it from `base` on. What of it
// is spoken can no longer change; what is not can, and the take is told.

import { change, protect, sentencesEnd, wordStart } from "./edits.js";
import { Place } from "./highlight.js";

/** How much of the text may be spoken before Enter. */
const TARGETS = {
  type: (text) => text.length,
  sentence: sentencesEnd,
  enter: () => 0,
};

/**
 * Events: `changed` (what was heard of it before may not be there any more), `locked` (an edit of
 * what is spoken was put right), `said` (detail: {place, takes}: the field has given away its text,
 * which is spoken to its end).
 */
export class Field extends EventTarget {
  #area;
  #mirror;
  #speech;
  #composing = false;
  #text = ""; // as it was after the last change
  #base = 0;
  #take = null;
  #takes = []; // all that spoke this text
  #stopped = false; // it was silenced, or failed, and nothing is spoken since
  #mode = "type";

  constructor(area, mirror, speech) {
    super();
    this.#area = area;
    this.#mirror = mirror.appendChild(document.createTextNode("\n"));
    this.#speech = speech;
    this.place = new Place(this.#mirror);
    area.addEventListener("input", () => this.#edited());
    area.addEventListener("compositionstart", () => (this.#composing = true));
    area.addEventListener("compositionend", () => {
      this.#composing = false;
      this.#edited();
    });
    speech.addEventListener("replaced", ({ detail }) => this.#replaced(detail));
    speech.addEventListener("finished", ({ detail: take }) => this.#finished(take));
  }

  get text() {
    return this.#area.value;
  }

  /** When to speak: `type`, `sentence` or `enter`. */
  setMode(mode) {
    this.#mode = mode;
    this.#tellTake();
  }

  /** As if typed at the end. */
  append(text) {
    this.#area.value += text;
    this.#area.scrollTop = this.#area.scrollHeight;
    this.#edited();
  }

  /** Put a text back to be edited and said again. */
  put(text) {
    this.#area.value = text;
    this.#area.setSelectionRange(text.length, text.length);
    this.#area.focus();
    this.#edited();
  }

  /** Speak all of it, and make room for what comes next. */
  say() {
    const text = this.text;
    if (!text.trim()) return;
    this.#show(text);
    if (this.#take) this.#speech.update(this.#take, text.slice(this.#base), true);
    else this.#sayFrom(this.#stopped ? 0 : this.#base, text);
    this.#giveAway(text);
    this.#restart("");
  }

  #sayFrom(base, whole) {
    const text = whole.slice(base);
    if (!text.trim()) return;
    this.#takes.push(this.#speech.say({ text, place: this.place, base, ended: true }));
  }

  /** Something else is about to be said: speak what is here so far, and go on behind it. */
  break() {
    if (!this.#take) return;
    this.#speech.update(this.#take, this.#take.wanted, true);
    this.#base += this.#take.wanted.length;
    this.#take = null;
  }

  /** Another voice or speed is wanted: from the next word on. */
  changeManner() {
    if (this.#take) this.#speech.change(this.#take);
  }

  // --- edits ----------------------------------------------------------------------------------

  #edited() {
    let text = this.text;
    this.#show(text);
    if (this.#composing) return; // what an input method still changes is not yet text
    if (this.#take) text = this.#protected(text);
    else this.#reopened(text);
    this.#text = text;
    this.#tellTake();
  }

  /** Nobody speaks it: all of it may change, and what does will be spoken. */
  #reopened(text) {
    const { at } = change(this.#text, text);
    this.#base = Math.min(this.#base, wordStart(text, at));
    this.place.heard = Math.min(this.place.heard, at);
    this.dispatchEvent(new Event("changed"));
  }

  /** The text after an edit, with what is spoken already put back. */
  #protected(text) {
    const { at, removed } = change(this.#text, text);
    const locked = this.#base + this.#take.spoken;
    if (at === 0 && removed === this.#text.length && locked > 0) return this.#cleared(text);
    return this.#restored(this.#text, text, locked);
  }

  #restored(before, text, locked) {
    const restored = protect(before, text, locked);
    if (!restored) return text;
    this.#area.value = restored.text;
    this.#area.setSelectionRange(restored.caret, restored.caret);
    this.#show(restored.text);
    this.dispatchEvent(new Event("locked"));
    return restored.text;
  }

  /** All of it was deleted: what is spoken already counts as said, the rest is not. */
  #cleared(text) {
    const take = this.#take;
    const before = this.#text.slice(0, this.#base);
    const place = this.#giveAway(before + take.sent.slice(0, take.spoken));
    take.onConflict = () => (place.node.data = before + take.sent);
    this.#speech.update(take, take.sent.slice(0, take.spoken), true);
    this.#restart(text);
    return text;
  }

  #tellTake() {
    const end = Math.max(TARGETS[this.#mode](this.#text), this.#base);
    const text = this.#text.slice(this.#base, end);
    if (this.#take) this.#speech.update(this.#take, text);
    else if (text.trim()) this.#begin(text);
  }

  #begin(text) {
    this.#take = this.#speech.say({
      text,
      place: this.place,
      base: this.#base,
      onConflict: (take, before) => this.#conflict(take, before),
    });
    this.#takes.push(this.#take);
    this.#stopped = false;
  }

  /** The server had released more than this page knew when the text was taken back. */
  #conflict(take, before) {
    if (take !== this.#take) return;
    const prefix = this.#text.slice(0, this.#base);
    const locked = this.#base + take.sent.length;
    this.#text = this.#restored(prefix + before, this.text, locked);
    this.#tellTake();
  }

  // --- what happens to the take ---------------------------------------------------------------

  #replaced({ take, next }) {
    if (take !== this.#take) return;
    this.#take = next;
    this.#takes.push(next);
    this.#base = next.base;
  }

  /** It was silenced, or failed: all may be edited again; what is added is spoken. */
  #finished(take) {
    if (take !== this.#take) return;
    this.#take = null;
    this.#stopped = true;
    this.#base = this.#text.length;
    this.place.spoken = 0;
  }

  // --- what is shown --------------------------------------------------------------------------

  #show(text) {
    // A last line break would not open a line of its own.
    this.#mirror.data = `${text}\n`;
  }

  /** The text leaves the field; its place goes with it, lit words and all. */
  #giveAway(text) {
    const place = this.place;
    place.node = document.createTextNode(text);
    this.place = new Place(this.#mirror);
    this.dispatchEvent(new CustomEvent("said", { detail: { place, takes: this.#takes } }));
    return place;
  }

  #restart(text) {
    if (this.#area.value !== text) this.#area.value = text;
    this.#text = text;
    this.#base = 0;
    this.#stopped = false;
    this.#take = null;
    this.#takes = [];
    this.#show(text);
  }
}
