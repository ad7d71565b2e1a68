// An utterance: its text as it is written, and its audio as it arrives. It outlives its contexts on the
// server: when one is lost another goes on. Positions are UTF-16 units of `text`.

import { ContextChain } from "./context_chain.js";
import { ClientError, ProtocolError, SpeechFailed } from "./errors.js";
import { RetractRequests } from "./retract_requests.js";
import { Signal } from "./signal.js";
import { checkSource, piecesOf } from "./text_source.js";
import { createAudio, Totals, UnreadAudio } from "./utterance_audio.js";

const UNREAD_LIMIT_MS = 30_000; // unread audio beyond this pauses the sending of text

/** Created by `Session.speak`. Iterate it, once, for its audio. */
export class Utterance {
  words = []; // {from, to, text, startMs, endMs}
  restarts = []; // {textTo, audioMs}: where speech went on after the server had lost the session
  errors = []; // {code, message}: sentences that could not be spoken
  audioMs = 0; // received
  ttfaMs = null; // from the first text to the first sound received
  cancelled = false;
  begun = false;
  playback = null; // what its audio goes to, if it is played
  #table;
  #chain;
  #startMs = 0; // where the audio of the chain's first context begins
  #totals = new Totals(); // of that context
  #chunks = 0;
  #textTo = 0; // spoken
  #firstTextMs = null;
  #unread = new UnreadAudio();
  #isUnlimited = false; // `done` is awaited: receive everything
  #retracts = new RetractRequests();
  #changed = new Signal();
  #result = null; // {end} or {error}
  #onChange; // tells the session

  constructor(table, options, onChange) {
    this.#table = table;
    this.#onChange = onChange;
    const onConflict = (context, _before, rest) => (context.wanted = context.sent + rest);
    this.#chain = new ContextChain(table.createContext({ ...options, owner: this, onConflict }));
  }

  // --- the text -------------------------------------------------------------------------------

  /** All of its text so far. */
  get text() {
    return this.#chain.text;
  }

  /** The text continues with `piece`. */
  append(piece) {
    if (typeof piece !== "string") throw new TypeError(`cannot speak ${typeof piece}: expected a string`);
    this.#write(this.#chain.last.wanted + piece);
  }

  /** Take back the text from `position` on. Resolves with the position from which that was still
   *  possible: earlier text is spoken.
   */
  async retract(position) {
    if (!Number.isInteger(position)) throw new TypeError(`cannot retract to ${position}: expected a whole number`);
    const context = this.#chain.last;
    const from = Math.min(Math.max(0, position - context.base), context.wanted.length);
    this.#write(context.wanted.slice(0, from));
    const known = context.wanted.startsWith(context.sent) && !context.retracting;
    return this.finished || known ? context.base + from : this.#retracts.add(context, from);
  }

  /** Make the text `text`, as a text field has it: what is spoken stays, and comes before the rest. */
  update(text) {
    this.#write(this.#chain.restOf(text));
  }

  /** Have all text so far spoken without waiting for more, which may follow. */
  flush() {
    this.#chain.last.flushTo = this.#chain.last.wanted.length;
    this.#pump();
  }

  /** No more text will follow. */
  end() {
    this.#chain.last.ended = true;
    this.#pump();
  }

  /** Write what `source` yields, and end; for the session. Throws `TypeError` for what is no text. */
  write(source) {
    checkSource(source);
    if (typeof source !== "string") return void this.#read(source);
    this.append(source);
    this.end();
  }

  // --- the audio ------------------------------------------------------------------------------

  /** Whether nothing more will come: it is done, cancelled, or failed. */
  get finished() {
    return this.#result !== null;
  }

  async *[Symbol.asyncIterator]() {
    if (this.playback) throw new ClientError("already_played", "its audio goes to a player");
    try {
      for (;;) {
        const audio = this.#unread.shift();
        this.#adjustFlow();
        if (audio) yield audio;
        else if (this.finished) return void this.#outcome();
        else await this.#changed.wait();
      }
    } finally {
      this.#unread.clear();
      if (!this.finished) this.cancel(); // left early: as streams do
    }
  }

  /** Wait until all audio has been received, iterated or not. Rejects if not all could be spoken. */
  async done() {
    this.#isUnlimited = true;
    this.#adjustFlow();
    while (!this.finished) await this.#changed.wait();
    return this.#outcome();
  }

  /** Drop what is not heard, at once. */
  cancel() {
    this.cancelled ||= !this.finished;
    this.#unread.clear();
    this.playback?.drop();
    this.#finish({ end: this.#summary() });
  }

  /** Report how much of the audio was heard, for the server's pacing. */
  played(ms) {
    const heardMs = Math.max(0, ms - this.#startMs);
    if (this.begun && !this.finished) this.#table.played(this.#chain.first, heardMs);
    this.#adjustFlow();
  }

  // --- for the session and the player ---------------------------------------------------------

  /** Whether its reader is so slow that no text is sent. */
  get held() {
    return this.#chain.last.held;
  }

  /** Whether audio that is due has not come. */
  get owed() {
    return !this.finished && this.#chain.first.owed;
  }

  /** The context that is written to. */
  get context() {
    return this.#chain.last;
  }

  /** Start to be spoken. `rateHz`: the server's; `compressed`: whether what is played is. */
  begin({ rateHz, compressed }) {
    const context = this.#chain.first;
    this.begun = true;
    if (context.rateHz !== null) context.rateHz = this.playback?.rateHz ?? context.rateHz ?? rateHz;
    context.compressed = compressed && this.playback !== null;
    this.#table.add(context);
  }

  /** Its audio goes to `playback` from now on, with what is unread. */
  attach(playback) {
    if (this.playback) throw new ClientError("already_played", "an utterance is played once: speak it again");
    if (this.#chain.first.rateHz === null) {
      const help = "leave `format` out: where the line is thin the player asks for compressed sound itself";
      throw new ClientError("cannot_play", `the player plays pcm_s16le only; ${help}`);
    }
    this.playback = playback;
    for (const { samples, sampleRate } of this.#unread.clear()) playback.add(samples, sampleRate);
    if (this.finished) playback.end();
  }

  /** An event of one of its contexts. */
  process(type, detail) {
    if (this.finished) return;
    if (type === "replaced") this.#follow(detail);
    else if (this.#chain.isDue(type, detail)) this.#processDue(type, detail);
  }

  /** It cannot be spoken to its end. */
  fail(error) {
    this.#finish({ error });
  }

  // --- privately ------------------------------------------------------------------------------

  #write(text) {
    const { last } = this.#chain;
    if (last.ended && !this.finished) throw new ClientError("text_ended", "the text has ended: speak another");
    last.wanted = text;
    last.flushTo = Math.min(last.flushTo, text.length);
    if (text) this.#firstTextMs ??= performance.now();
    this.#pump();
  }

  #pump() {
    if (this.begun && !this.finished) this.#table.pump(this.#chain.last);
  }

  async #read(source) {
    try {
      for await (const piece of piecesOf(source)) {
        while (!this.#hasRoom && !this.finished) await this.#changed.wait();
        if (this.finished) return;
        this.append(piece);
      }
      if (!this.finished) this.end();
    } catch (error) {
      this.fail(error);
    }
  }

  get #hasRoom() {
    const { wanted, spoken, ahead, held } = this.#chain.last;
    return !held && wanted.length - spoken < ahead;
  }

  #processDue(type, detail) {
    if (type === "audio") this.#receive(detail);
    else if (type === "sound") this.playback?.add(detail.samples, detail.context.rateHz);
    else if (type === "retracted") this.#retracts.answer(detail);
    else if (type === "unspoken") this.errors.push(detail.error);
    else if (type === "refused") this.fail(new SpeechFailed("the text is refused", [detail.error]));
    else if (type === "finished") this.#advance(detail);
    this.#changed.fire();
  }

  #receive(detail) {
    const audio = createAudio(detail, { text: this.text, startMs: this.#startMs });
    if (!this.#totals.add(detail.header)) {
      return this.fail(new ProtocolError(`audio ${detail.header.seq} came out of order`));
    }
    this.#chunks++;
    this.#textTo = audio.to;
    this.audioMs += audio.durationMs;
    this.words.push(...audio.words);
    if (audio.data.length > 0) this.ttfaMs ??= performance.now() - this.#firstTextMs;
    if (!this.playback) this.#unread.push(audio);
    this.#adjustFlow();
  }

  #follow(detail) {
    const { context, next, restarted } = detail;
    if (restarted) this.restarts.push({ textTo: next.base, audioMs: this.audioMs });
    this.#chain.follow(detail);
    this.#retracts.move(context, next);
  }

  /** The first context is finished: go on with the next, or finish. */
  #advance({ done }) {
    const wrong = done && this.#totals.difference(done);
    if (wrong) return this.fail(new ProtocolError(wrong));
    const events = this.#chain.advance();
    if (!events) return this.#finish({ end: this.#summary() });
    this.#startMs = this.audioMs;
    this.#totals = new Totals();
    for (const [type, detail] of events) this.process(type, detail);
  }

  #finish(result) {
    if (this.finished) return;
    this.#result = result;
    if (this.begun) for (const context of this.#chain.all) if (!context.complete) this.#table.cancel(context);
    this.#retracts.settle(this.#textTo);
    this.playback?.end();
    this.#changed.fire();
    this.#onChange();
  }

  #summary() {
    const { cancelled, audioMs } = this;
    return { cancelled, textTo: cancelled ? this.#textTo : this.text.length, audioMs, chunks: this.#chunks };
  }

  #outcome() {
    const { error, end } = this.#result;
    if (!end) throw error;
    if (this.errors.length > 0 && !this.cancelled) throw new SpeechFailed("not all was spoken", this.errors);
    return end;
  }

  /** Send no text while its reader is behind. */
  #adjustFlow() {
    const behindMs = this.playback ? this.audioMs - this.playback.heardMs : this.#unread.ms;
    const held = !this.#isUnlimited && behindMs > UNREAD_LIMIT_MS;
    if (held === this.held) return;
    this.#chain.last.held = held;
    this.#pump();
    this.#changed.fire();
    this.#onChange();
  }
}
