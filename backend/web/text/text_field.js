// The text field: what is typed becomes what is spoken.
//
// The field's text is `[said before | take]`: the take at hand speaks it from `base` on. What of it
// is spoken can no longer change; what is not can, and the take is told. A text that is *held* (one
// that was put here, or was typed while the server was away) is spoken when the person says so.

import { change, expandWord, insertWords, protect, wordStart } from "./edits.js";
import { Place } from "./highlight.js";
import { UndoStack } from "./undo.js";

/**
 * Events: `changed` (the text, or what was heard of it), `locked` (detail: the correction: an edit
 * of what is spoken was put right), `said` (detail: {place, takes}: the field has given away its
 * text, which is spoken to its end), `unsaid` (detail: the text that should have been spoken, and
 * the server is away), `held`.
 */
export class TextField extends EventTarget {
  #sheet;
  #speech;
  #text = ""; // as it was after the last change
  #base = 0;
  #take = null;
  #takes = []; // all that spoke this text
  #stopped = false; // it was silenced, or failed, and nothing is spoken since
  #held = false;
  #reading = null; // the take that reads it aloud, and leaves it here
  #asYouType = true;
  #away = false;
  #undo = new UndoStack();
  expand = (word) => word; // what an abbreviation stands for

  constructor(sheet, speech) {
    super();
    this.#sheet = sheet;
    this.#speech = speech;
    this.place = new Place(sheet.node);
    sheet.addEventListener("edited", () => this.#edited());
    sheet.addEventListener("undo", () => this.undo());
    sheet.addEventListener("redo", () => this.redo());
    speech.addEventListener("replaced", ({ detail }) => this.#replaced(detail));
    speech.addEventListener("finished", ({ detail: take }) => this.#finished(take));
  }

  get text() {
    return this.#sheet.text;
  }

  get held() {
    return this.#held;
  }

  /** Whether what stands here is spoken, or read. */
  get speaking() {
    return this.#take !== null || this.#reading !== null;
  }

  get caret() {
    return this.#sheet.caret;
  }

  set caret(at) {
    this.#sheet.caret = at;
  }

  /** How much of the text is spoken and stays. */
  get locked() {
    return this.#take ? this.#base + this.#take.spoken : 0;
  }

  /** What `load` brings back: the text, and from where on it is to be spoken. */
  get draft() {
    return { text: this.#text, base: this.#take ? this.locked : this.#stopped ? 0 : this.#base };
  }

  /** Whether words are spoken while they are typed, or on Enter only. */
  set asYouType(asYouType) {
    const begins = asYouType && !this.#asYouType;
    this.#asYouType = asYouType;
    if (begins) this.#hold(); // what stands here was not written to be heard at once
    this.#tellTake();
  }

  /** The server is away, or back: nothing is spoken late that nobody asks for. */
  set away(away) {
    if (this.#away === away) return;
    this.#away = away;
    this.#hold();
  }

  focus() {
    this.#sheet.focus();
  }

  /** As if typed at the caret, or behind what is spoken, with spaces around. */
  insert(words) {
    const at = Math.max(this.caret, this.locked);
    const { text, caret } = insertWords(this.text.slice(0, at), words, this.text.slice(at));
    this.#sheet.put(text, caret);
    this.#edited();
  }

  /** Put a word in place of the last `begun` letters before the caret, and a space behind it. */
  complete(word, begun) {
    const at = Math.max(this.caret - begun, this.locked);
    const { text, caret } = this;
    this.#sheet.put(`${text.slice(0, at)}${word} ${text.slice(caret)}`, at + word.length + 1);
    this.#edited();
  }

  /** Speak what is here from `at` on, and leave it here. */
  read(at) {
    this.#hold();
    Object.assign(this.place, { heard: at, spoken: 0, unread: [] });
    const text = this.#text.slice(at);
    if (text.trim()) this.#reading = this.#speech.say({ text, place: this.place, base: at, ended: true });
  }

  /** Put a text here that is not spoken until the person says so. What was here is lost. */
  load({ text, base = 0 }) {
    this.#restart(text);
    this.#base = this.place.heard = Math.min(base, text.length);
    this.caret = text.length;
    this.#hold();
    this.dispatchEvent(new Event("changed"));
  }

  /** Take the text away as a draft: what of it is on its way is heard, and no more. */
  putAside() {
    const { draft } = this;
    if (this.#take) this.#speech.update(this.#take, this.#take.sent.slice(0, this.#take.spoken), true);
    this.#restart("");
    return draft;
  }

  /** Empty the field. Undo brings back what was not spoken, which is returned. */
  clear() {
    const spoken = this.#take ? this.locked : this.#stopped ? this.place.heard : 0;
    const rest = this.text.slice(spoken);
    if (this.#take && spoken > 0) this.#cleared("");
    else if (this.#take) this.#speech.withdraw(this.#take);
    else if (spoken > 0) this.#giveAway(this.text.slice(0, spoken));
    this.#restart("");
    if (rest.trim()) this.#undo.record(rest, { at: 0, removed: rest.length, inserted: "" });
    this.dispatchEvent(new Event("changed"));
    return rest;
  }

  /** Undo the last change of what is not spoken. */
  undo() {
    const wasEmpty = this.text === "";
    this.#change(this.#undo.undo(this.#text, this.locked), wasEmpty);
  }

  redo() {
    this.#change(this.#undo.redo(this.#text, this.locked), false);
  }

  /** Speak all of it, and make room for what comes next. */
  say() {
    const text = expandWord(this.text, this.text.length, this.locked, this.expand);
    if (!text.trim()) return;
    if (this.#away) return this.#unsaid(text);
    if (this.#take) this.#speech.update(this.#take, text.slice(this.#base), true);
    else this.#sayFrom(this.#stopped ? 0 : this.#base, text);
    this.#giveAway(text);
    this.#restart("");
    this.dispatchEvent(new Event("changed"));
  }

  #sayFrom(base, whole) {
    const text = whole.slice(base);
    if (!text.trim()) return;
    this.#takes.push(this.#speech.say({ text, place: this.place, base, ended: true }));
  }

  #unsaid(text) {
    const base = this.#stopped ? 0 : this.#base;
    if (base > 0) this.#giveAway(text.slice(0, base));
    this.#restart("");
    if (text.slice(base).trim()) this.#tell("unsaid", text.slice(base));
    this.dispatchEvent(new Event("changed"));
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
    let { text } = this;
    this.#stopReading();
    if (this.#take) text = this.#protected(text);
    else this.#reopened(text);
    this.#undo.record(this.#text, change(this.#text, text));
    this.#text = text;
    this.#expandTyped();
    this.#accept();
  }

  /** A word that was finished just now may stand for others. */
  #expandTyped() {
    const { caret } = this;
    if (!/[\s.,!?]$/.test(this.#text.slice(0, caret))) return;
    const text = expandWord(this.#text, caret, this.locked, this.expand);
    if (text === this.#text) return;
    this.#undo.record(this.#text, change(this.#text, text));
    this.#sheet.put(text, caret + text.length - this.#text.length);
    this.#text = text;
  }

  #accept() {
    if (this.#text === "") this.#held = false;
    this.#tellTake();
    this.dispatchEvent(new Event("changed"));
  }

  /** What is read is not what stands here any more. */
  #stopReading() {
    if (this.#reading && !this.#reading.complete) this.#speech.withdraw(this.#reading);
    this.#reading = null;
  }

  #change(text, hold) {
    if (text === null) return;
    const { at, inserted } = change(this.#text, text);
    this.#sheet.put(text, at + inserted.length);
    if (!this.#take) this.#reopened(text);
    this.#text = text;
    if (hold) this.#hold(); // it was taken back as a whole: nobody wants to hear it at once
    this.#accept();
  }

  /** Nobody speaks it: all of it may change, and what does will be spoken. */
  #reopened(text) {
    const { at } = change(this.#text, text);
    this.#base = Math.min(this.#base, wordStart(text, at));
    this.place.heard = Math.min(this.place.heard, at);
    this.place.unread = this.place.unread.filter(({ to }) => to <= at);
  }

  /** The text after an edit, with what is spoken already put back. */
  #protected(text) {
    const { at, removed } = change(this.#text, text);
    if (at === 0 && removed === this.#text.length && this.locked > 0) return this.#cleared(text);
    return this.#restored(this.#text, text, this.locked);
  }

  #restored(before, text, locked) {
    const restored = protect(before, text, locked);
    if (!restored) return text;
    this.#sheet.put(restored.text, restored.caret);
    this.#tell("locked", restored.correction);
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
    const end = this.#asYouType && !this.#held && !this.#away ? this.#text.length : this.#base;
    const text = this.#text.slice(this.#base, end);
    if (this.#take) this.#speech.update(this.#take, text);
    else if (text.trim()) this.#begin(text);
  }

  /** Nothing more of it is spoken until the person says so. */
  #hold() {
    if (this.#take) {
      this.#base = this.locked;
      const take = this.#take;
      this.#take = null;
      this.#speech.withdraw(take);
    }
    const held = this.#text !== "" && !this.#away;
    if (held && !this.#held) queueMicrotask(() => this.dispatchEvent(new Event("held")));
    this.#held = held;
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

  /** The text leaves the field; its place goes with it, lit words and all. */
  #giveAway(text) {
    const place = this.place;
    place.node = document.createTextNode(text);
    this.place = new Place(this.#sheet.node);
    this.#tell("said", { place, takes: this.#takes });
    return place;
  }

  #restart(text) {
    this.#sheet.put(text);
    this.#text = text;
    this.#base = 0;
    this.#stopped = this.#held = false;
    this.#take = this.#reading = null;
    this.#takes = [];
    this.#undo.clear();
    this.place = new Place(this.#sheet.node);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
