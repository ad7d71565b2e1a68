// The text field: speaks what is typed.
//
// The field's text is `[said before | take]`: the current take speaks it from `base` on. Its spoken
// part can no longer change; changes of the rest are sent to the take. A *held* text (one that
// was loaded, or typed while the server was away) is spoken when the user asks for it.

import { wordStart } from "../client/offsets.js";
import { change, expandWord, insertWords, protect } from "./edits.js";
import { Place } from "./highlight.js";
import { UndoStack } from "./undo.js";

/**
 * Events: `changed` (the text, or the heard part), `locked` (detail: the correction: an edit
 * of spoken text was reverted), `said` (detail: {place, takes}: the text left the field,
 * and is spoken to its end), `unsaid` (detail: the text that should have been spoken while
 * the server is away), `held`.
 */
export class TextField extends EventTarget {
  #sheet;
  #speech;
  #text = ""; // after the last change
  #base = 0;
  #take = null;
  #takes = []; // all takes that spoke this text
  #stopped = false; // silenced or failed, and nothing is spoken since
  #held = false;
  #reading = null; // the take that reads the text aloud without consuming it
  #asYouType = true;
  #away = false;
  #undo = new UndoStack();
  expand = (word) => word; // expands abbreviations

  constructor(sheet, speech) {
    super();
    this.#sheet = sheet;
    this.#speech = speech;
    this.place = new Place(sheet.node);
    sheet.addEventListener("edited", () => this.#edited());
    sheet.addEventListener("undo", () => this.undo());
    sheet.addEventListener("redo", () => this.redo());
    speech.addEventListener("replaced", ({ detail }) => this.#replaced(detail.context, detail.next));
    speech.addEventListener("finished", ({ detail: { context: take } }) => this.#finished(take));
  }

  get text() {
    return this.#sheet.text;
  }

  get held() {
    return this.#held;
  }

  /** Whether the text is being spoken or read. */
  get speaking() {
    return this.#take !== null || this.#reading !== null;
  }

  get caret() {
    return this.#sheet.caret;
  }

  set caret(at) {
    this.#sheet.caret = at;
  }

  /** Length of the spoken part, which is fixed. */
  get locked() {
    return this.#take ? this.#base + this.#take.spoken : 0;
  }

  /** The state that `load` restores: the text, and where speaking starts. */
  get draft() {
    return { text: this.#text, base: this.#take ? this.locked : this.#stopped ? 0 : this.#base };
  }

  /** Whether words are spoken while they are typed, or on Enter only. */
  set asYouType(asYouType) {
    const begins = asYouType && !this.#asYouType;
    this.#asYouType = asYouType;
    if (begins) this.#hold(); // the present text was not meant to be spoken at once
    this.#tellTake();
  }

  /** The server is away, or back: text is not spoken late unless the user asks. */
  set away(away) {
    if (this.#away === away) return;
    this.#away = away;
    this.#hold();
  }

  focus() {
    this.#sheet.focus();
  }

  /** Insert as if typed at the caret, or behind the spoken part, with spaces around. */
  insert(words) {
    const at = Math.max(this.caret, this.locked);
    const { text, caret } = insertWords(this.text.slice(0, at), words, this.text.slice(at));
    this.#sheet.put(text, caret);
    this.#edited();
  }

  /** Replace the last `begun` letters before the caret by a word and a space. */
  complete(word, begun) {
    const at = Math.max(this.caret - begun, this.locked);
    const { text, caret } = this;
    this.#sheet.put(`${text.slice(0, at)}${word} ${text.slice(caret)}`, at + word.length + 1);
    this.#edited();
  }

  /** Speak the text from `at` on, without consuming it. */
  read(at) {
    this.#hold();
    Object.assign(this.place, { heard: at, spoken: 0, unread: [] });
    const text = this.#text.slice(at);
    if (text.trim()) this.#reading = this.#speech.say({ text, place: this.place, base: at, ended: true });
  }

  /** Load a text that is not spoken until the user asks. The previous text is lost. */
  load({ text, base = 0 }) {
    this.#restart(text);
    this.#base = this.place.heard = Math.min(base, text.length);
    this.caret = text.length;
    this.#hold();
    this.dispatchEvent(new Event("changed"));
  }

  /** Remove the text as a draft: audio in progress is played, nothing more is spoken. */
  putAside() {
    const { draft } = this;
    if (this.#take) this.#speech.update(this.#take, this.#take.sent.slice(0, this.#take.spoken), true);
    this.#restart("");
    return draft;
  }

  /** Empty the field. Undo restores the unspoken part, which is returned. */
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

  /** Undo the last change of the unspoken part. */
  undo() {
    const wasEmpty = this.text === "";
    this.#change(this.#undo.undo(this.#text, this.locked), wasEmpty);
  }

  redo() {
    this.#change(this.#undo.redo(this.#text, this.locked), false);
  }

  /** Speak the whole text, and empty the field for the next. */
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

  /** Another text is about to be spoken: speak the text so far, and continue behind it. */
  break() {
    if (!this.#take) return;
    this.#speech.update(this.#take, this.#take.wanted, true);
    this.#base += this.#take.wanted.length;
    this.#take = null;
  }

  /** Voice or speed changed: applies from the next word on. */
  changeManner() {
    if (this.#take) this.#speech.changeManner(this.#take);
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

  /** A word just finished may be an abbreviation. */
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

  /** Stop reading: the text has changed. */
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
    if (hold) this.#hold(); // restored as a whole: not to be spoken at once
    this.#accept();
  }

  /** No take speaks the text: all of it may change, and changes will be spoken. */
  #reopened(text) {
    const { at } = change(this.#text, text);
    this.#base = Math.min(this.#base, wordStart(text, at));
    this.place.heard = Math.min(this.place.heard, at);
    this.place.unread = this.place.unread.filter(({ to }) => to <= at);
  }

  /** The text after an edit, with the spoken part restored. */
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

  /** The text was deleted: the spoken part counts as said, the rest is dropped. */
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

  /** Stop speaking until the user asks. */
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

  /** The server had released more than this page knew when the text was retracted. */
  #conflict(take, before) {
    if (take !== this.#take) return;
    const prefix = this.#text.slice(0, this.#base);
    const locked = this.#base + take.sent.length;
    this.#text = this.#restored(prefix + before, this.text, locked);
    this.#tellTake();
  }

  // --- take events ----------------------------------------------------------------------------

  #replaced(take, next) {
    if (take !== this.#take) return;
    this.#take = next;
    this.#takes.push(next);
    this.#base = next.base;
  }

  /** Silenced or failed: all may be edited again; additions are spoken. */
  #finished(take) {
    if (take !== this.#take) return;
    this.#take = null;
    this.#stopped = true;
    this.#base = this.#text.length;
    this.place.spoken = 0;
  }

  /** The text leaves the field; its place moves with it, including highlights. */
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
