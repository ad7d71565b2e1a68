// A take: one context of the server, seen from here. The text it shall speak, what of that the
// server has, and the audio that came back. Positions are UTF-16 units from the take's start.

import { commonPrefix } from "../text/edits.js";
import { characterStart, toPoints, toUnits } from "./offsets.js";

const OWED_AFTER_MS = 300; // what could be spoken that long ago should be here
const FINISHED = /[.!?]\s+\S/; // a sentence, and the beginning of the next
const SILENCE = new Int16Array(0);

let takes = 0;

export class Take {
  id = `page-${++takes}`; // used once
  wanted = "";
  ended = false; // no more text will be wanted
  sent = "";
  spoken = 0; // units whose audio is here: they can no longer change
  words = []; // {from, to, startMs, endMs}
  silent = []; // {from, to}: words that the voice cannot read, accounted for without a sound
  complete = false; // no more audio will come
  chunks = []; // Int16Array
  frames = 0;
  forgotten = 0; // frames whose sound is kept no longer
  handedOver = 0; // chunks that the player has taken
  position; // in the player's ring
  stoppedMs = Infinity; // where it was silenced
  changing = false; // another take is about to speak the rest
  failures = 0; // of the takes that this one replaces
  notBefore = 0; // the performance.now() time at which the server may be asked again
  ahead = 4000; // units of text that the server may hold unspoken: it has a limit
  #started = false;
  #endSent = false;
  #retracting = null;
  #sends = []; // {end, at}: until where text had been sent at which time; the latest few
  #endedAt = Infinity;

  /**
   * `place` is where its text is shown, `base` where in that text it begins. `onConflict(before,
   * kept)` is told when text that was taken back from `before` is spoken already as far as `kept`.
   */
  constructor({ text = "", place = null, base = 0, ...manner }) {
    Object.assign(this, { wanted: text, place, base, ...manner });
  }

  /** What it was made with, for another like it. */
  get manner() {
    const { place, voice, speed, volume, typing, onConflict, ahead } = this;
    return { place, voice, speed, volume, typing, onConflict, ahead };
  }

  /** Whether the server has still to say how much could be taken back. */
  get retracting() {
    return this.#retracting !== null;
  }

  /** The server knows it and has not finished with it. */
  get open() {
    return this.#started && !this.complete;
  }

  /** Say to the server what it does not know yet. `send` delivers a message. */
  pump(send, rate) {
    if (this.complete || this.changing || this.#retracting) return;
    if (!this.#started && !this.#start(send, rate)) return;
    if (!this.wanted.startsWith(this.sent)) {
      return this.retract(send, commonPrefix(this.sent, this.wanted));
    }
    const until = Math.min(this.wanted.length, this.spoken + this.ahead);
    const text = this.wanted.slice(this.sent.length, characterStart(this.wanted, until));
    if (text) this.#push(send, text);
    if (this.ended && this.sent === this.wanted && !this.#endSent) {
      this.#endSent = true;
      this.#endedAt = performance.now();
      send({ type: "end", context: this.id });
    }
  }

  /** Take back what was sent from `from` on, as far as the server still can. */
  retract(send, from) {
    this.#retracting = { from, before: this.sent };
    send({ type: "retract", context: this.id, to: toPoints(this.sent, from) });
  }

  /** The server's answer: its text ends at `to` (code points) now. */
  retracted(to) {
    const { from, before } = this.#retracting;
    this.#retracting = null;
    this.sent = before.slice(0, toUnits(before, to));
    if (this.sent.length <= from) return;
    this.spoken = Math.max(this.spoken, this.sent.length);
    if (this.wanted.startsWith(this.sent)) return;
    // What it has released will be heard, so it is wanted; the page decides about the rest.
    if (this.ended) this.wanted = this.sent;
    this.onConflict?.(this, before);
  }

  /** Audio came, with the text that it speaks. */
  receive({ text, words }, samples) {
    this.spoken = Math.max(this.spoken, toUnits(this.sent, text[1]));
    for (const [from, to, startMs, endMs] of words) {
      this.words.push({
        from: toUnits(this.sent, from),
        to: toUnits(this.sent, to),
        startMs,
        endMs,
      });
    }
    this.#noteSilent(toUnits(this.sent, text[0]), toUnits(this.sent, text[1]));
    if (samples.length === 0) return;
    this.chunks.push(samples);
    this.frames += samples.length;
  }

  /** Whether all of its text is spoken, or cannot be. */
  get accounted() {
    return this.wanted.trim() !== "" && this.spoken >= this.wanted.trimEnd().length;
  }

  /** Whether the server had time to speak a sentence, finished or ended, whose audio is not here. */
  get owed() {
    const then = performance.now() - OWED_AFTER_MS;
    if (!this.open) return false;
    if (this.#endedAt <= then) return this.spoken < this.sent.length;
    const last = this.#sends.findLast(({ at }) => at <= then);
    return FINISHED.test(this.sent.slice(this.spoken, last?.end ?? 0));
  }

  /** The words at a time: `heard` is where the last one heard or begun ends, `now` sounds. */
  at(ms) {
    const next = this.words.findIndex((word) => word.startMs > ms);
    const word = next < 0 ? this.words.at(-1) : this.words[next - 1];
    if (!word) return { heard: 0, now: null };
    return { heard: word.to, now: ms < word.endMs ? word : null };
  }

  /** What was heard of its audio, in chunks. */
  heardChunks(rate) {
    let left = Math.min(this.frames, (this.stoppedMs * rate) / 1000) - this.forgotten;
    return this.chunks.map((chunk) => {
      const heard = chunk.subarray(0, Math.max(0, left));
      left -= chunk.length;
      return heard;
    });
  }

  /** Let the sound of a chunk go, once it is played. Returns whether it could. */
  forget(chunk) {
    if (chunk >= this.handedOver) return false;
    this.forgotten += this.chunks[chunk].length;
    this.chunks[chunk] = SILENCE;
    return true;
  }

  #noteSilent(begin, end) {
    for (const match of this.sent.slice(begin, end).matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      const [from, to] = [begin + match.index, begin + match.index + match[0].length];
      const heard = this.words.some((word) => word.from < to && word.to > from);
      if (!heard) this.silent.push({ from, to });
    }
  }

  #start(send, rate) {
    if (this.wanted === "") {
      this.complete = this.ended;
      return false;
    }
    const { id: context, voice, speed, volume, typing } = this;
    send({ type: "start", context, voice, speed, volume, typing, sample_rate: rate });
    this.#started = true;
    return true;
  }

  #push(send, text) {
    send({ type: "text", context: this.id, text: wellFormed(text) });
    this.sent += text;
    const at = performance.now();
    this.#sends.push({ end: this.sent.length, at });
    while (this.#sends[1]?.at < at - OWED_AFTER_MS) this.#sends.shift();
  }
}

/** Half a character, as a broken paste may bring it, is refused by the server: a mark instead. */
function wellFormed(text) {
  return text.toWellFormed?.() ?? text.replace(/\p{Surrogate}/gu, "\ufffd");
}
