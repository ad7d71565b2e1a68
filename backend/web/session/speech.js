// Coordinates the connection and the player: which takes exist, what each is sent,
// and how they continue when a voice is missing or the connection drops.

import { wordStart } from "../text/edits.js";
import { OpusStream } from "../playback/opus_stream.js";
import { Take } from "./take.js";

const MOST_FAILURES = 5;
const BUSY_AGAIN_MS = 1000;

/**
 * Events: `notice` (detail: {text, kind}), `replaced` (detail: {take, next}: `next` speaks what `take`
 * did not), `spoken` (detail: take; more of it is locked), `sound` (detail: take; it has one more chunk),
 * `finished` (detail: take), `gap`, `voiceless` (detail: {wanted, voice}).
 */
export class Speech extends EventTarget {
  #connection;
  #player;
  #takes = new Map(); // incomplete takes, by context id
  #heard = []; // takes whose audio may still be heard
  #lost = false;
  #compressed = false; // the line is thin: sound comes as Opus
  #manner = {};
  defaultVoice = undefined;
  away = false; // audio requested now would come too late

  constructor(connection, player) {
    super();
    this.#connection = connection;
    this.#player = player;
    connection.addEventListener("message", ({ detail }) => this.#received(detail));
    connection.addEventListener("ready", () => this.#begunAnew());
    connection.addEventListener("resumed", () => this.#connected(""));
    connection.addEventListener("lost", ({ detail }) => this.#disconnected(detail));
    player.addEventListener("report", () => this.#reportPlayed());
    player.addEventListener("dry", ({ detail: take }) => this.#ranDry(take));
  }

  /** Parameters of new takes: voice, speed, volume, typing. */
  get manner() {
    return { ...this.#manner, compressed: this.#compressed };
  }

  set manner(manner) {
    this.#manner = manner;
  }

  /** Begin a take; see Take for the options. */
  say(options) {
    const take = new Take({ ...this.manner, ...options });
    if (!this.away) this.#add(take);
    else {
      take.complete = true;
      this.#notice("The server is away: that is not spoken.", "problem");
    }
    return take;
  }

  /** Queue a sound that this page made. */
  play(samples, place) {
    const take = Object.assign(new Take({ place }), { ended: true, complete: true });
    take.chunks.push(samples);
    take.frames = samples.length;
    this.#player.enqueue(take);
    this.#player.advance();
  }

  /** Set the take's text to `text`; with `ended`, finally. */
  update(take, text, ended = false) {
    take.wanted = text;
    take.ended = ended;
    this.#pump(take);
  }

  /** Speak the rest of the take, from where it can still change, with the current parameters. */
  change(take) {
    if (!take.open) return Object.assign(take, this.manner);
    take.changing = true;
    if (!take.retracting) take.retract((message) => this.#connection.send(message), take.spoken);
  }

  /** Stop playback and cancel everything requested until now. */
  silence() {
    for (const take of this.#heard) take.stoppedMs = this.#player.heardMs(take);
    this.#player.reset();
    for (const take of [...this.#takes.values()]) {
      if (take.open) this.#connection.send({ type: "cancel", context: take.id });
      take.ended = true;
      this.#finish(take);
    }
    this.#heard = [];
  }

  /** Incomplete takes, earliest first. */
  get unfinished() {
    return [...this.#takes.values()];
  }

  /** End the take; audio already received is played. Returns the text that is not spoken. */
  withdraw(take) {
    const rest = take.wanted.slice(take.spoken);
    if (take.open) this.#connection.send({ type: "cancel", context: take.id });
    take.wanted = take.wanted.slice(0, take.spoken);
    take.ended = true;
    this.#finish(take);
    return rest;
  }

  /** Takes that are waiting, spoken or heard, earliest first. */
  get atHand() {
    const over = this.#heard.filter((take) => take.complete && this.#over(take));
    for (const take of over) take.place.follow(take, Infinity);
    this.#heard = this.#heard.filter((take) => !over.includes(take));
    return this.#heard;
  }

  #over(take) {
    return this.#player.heardMs(take) >= (take.frames * 1000) / this.#player.rate - 1;
  }

  #add(take) {
    this.#takes.set(take.id, take);
    this.#heard.push(take);
    this.#player.enqueue(take);
    this.#pump(take);
  }

  #pump(take) {
    if (!this.#connection.ready || performance.now() < take.notBefore) return;
    take.pump((message) => this.#connection.send(message), this.#player.rate);
    if (take.complete) this.#finish(take);
  }

  #finish(take) {
    take.complete = true;
    take.stream?.close();
    this.#takes.delete(take.id);
    this.#player.advance();
    this.#tell("finished", take);
  }

  // --- server messages ------------------------------------------------------------------------

  #received({ header, audio }) {
    const take = this.#takes.get(header.context);
    if (header.type === "error") return this.#failed(take, header);
    if (header.type === "advice") return this.#compress();
    if (!take) return; // silenced while this was in flight
    if (header.type === "audio") {
      take.receive(header);
      if (take.compressed) this.#streamOf(take).push(new Uint8Array(audio));
      else this.#addSamples(take, new Int16Array(audio));
      this.#tell("spoken", take);
      this.#pump(take);
    } else if (header.type === "retracted") {
      take.retracted(header.to);
      if (take.changing) this.#replace(take, take.sent.length, this.manner);
      this.#pump(take);
    } else if (header.type === "done") {
      this.#delivered(take);
    }
  }

  #addSamples(take, samples) {
    if (samples.length === 0 || take.complete) return;
    take.addSamples(samples);
    this.#tell("sound", take);
    this.#player.advance();
  }

  /** The server has finished the take. */
  async #delivered(take) {
    take.delivered = true;
    if (take.stream) await take.stream.finish().catch(() => {}); // or it was silenced meanwhile
    if (!take.complete) this.#finish(take);
  }

  // --- thin lines -----------------------------------------------------------------------------

  /** The server advises against uncompressed sound: the rest of what is spoken comes as Opus, as
   *  does everything later, until the page is left.
   */
  async #compress() {
    if (this.#compressed) return;
    if (!(await OpusStream.isSupported())) {
      return this.#notice("The connection is slow: there may be gaps.", "problem");
    }
    this.#compressed = true;
    for (const take of this.#takes.values()) this.change(take);
    this.#notice("The connection is slow: sound is compressed from now on.", "found");
  }

  #streamOf(take) {
    take.stream ??= new OpusStream(
      this.#player.rate,
      (samples) => this.#addSamples(take, samples),
      () => this.#undecodable(take),
    );
    return take.stream;
  }

  #undecodable(take) {
    if (take.complete) return;
    this.#compressed = false;
    this.#notice("This browser cannot decode the compressed sound.", "problem");
    if (take.open) this.#connection.send({ type: "cancel", context: take.id });
    this.#abandon(take, this.manner);
  }

  #failed(take, { code, message }) {
    if (code === "timeout" || code === "engine_failed") {
      return this.#notice(`A sentence could not be spoken: ${message}`, "problem");
    }
    if (!take) return;
    if (!ENDED.includes(code)) this.#connection.send({ type: "cancel", context: take.id });
    const next = ++take.failures <= MOST_FAILURES && REMEDIES[code]?.(this, take, message, code);
    if (!next) {
      this.#notice(`That could not be spoken: ${message}`, "problem");
      return this.#abandon(take);
    }
    if (next.notice) this.#notice(next.notice, "problem");
    this.#abandon(take, next.manner, next.afterMs);
  }

  /** End the take where it is; a successor speaks the rest, if `manner` is given. */
  #abandon(take, manner, afterMs = 0) {
    if (manner) this.#follow(take, this.#successor(take, take.spoken, manner), afterMs);
    this.#finish(take);
  }

  // --- replacing takes ------------------------------------------------------------------------

  /** End the take at `at`; a new take speaks the text after it. */
  #replace(take, at, manner) {
    const next = this.#successor(take, at, manner);
    take.changing = false;
    take.wanted = take.wanted.slice(0, at);
    take.ended = true;
    this.#follow(take, next, 0);
  }

  #successor(take, at, manner) {
    const text = take.wanted.slice(at);
    return new Take({ ...take.manner, ...manner, text, ended: take.ended, base: take.base + at });
  }

  #follow(take, next, afterMs) {
    next.failures = take.failures;
    next.notBefore = performance.now() + afterMs;
    this.#takes.set(next.id, next);
    this.#heard.push(next);
    this.#player.enqueue(next, take);
    this.#tell("replaced", { take, next });
    setTimeout(() => this.#pump(next), afterMs + 1);
  }

  // --- when the connection drops --------------------------------------------------------------

  #disconnected({ why }) {
    this.#lost = true;
    this.#notice(`${why}. Trying again…`, "lost");
  }

  /** The server lost the session: the text being spoken is sent again. */
  #begunAnew() {
    const open = [...this.#takes.values()].filter((take) => take.open);
    this.#connected(open.map((take) => this.#sayAgain(take)).join(" "));
  }

  /** Audio already received is played; the rest is sent again, from the start of a word. Returns
   *  how much of it the server had received before.
   */
  #sayAgain(take) {
    const { wanted, spoken } = take;
    const at = spoken < wanted.length ? wordStart(wanted, spoken) : spoken;
    const next = this.#successor(take, at, {});
    take.changing = false;
    this.#follow(take, next, 0);
    this.#finish(take);
    return next.wanted.slice(0, Math.max(0, take.sent.length - at));
  }

  #connected(again) {
    for (const take of this.#takes.values()) this.#pump(take);
    if (this.#lost) this.#notice(`Connected again. ${resent(again)}`, "found");
    this.#lost = false;
  }

  #reportPlayed() {
    if (!this.#connection.ready) return;
    for (const take of this.#takes.values()) {
      if (!take.open || take.frames === 0) continue;
      const ms = Math.round(this.#player.heardMs(take) * 10) / 10;
      this.#connection.send({ type: "played", context: take.id, ms });
    }
  }

  /** The audio ran out; the page itself reports a lost connection. */
  #ranDry(take) {
    if (!take.owed || !this.#connection.ready) return;
    this.#player.gap();
    this.#tell("gap");
  }

  #notice(text, kind) {
    this.#tell("notice", { text, kind });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function resent(text) {
  const words = text.match(/\S+/g)?.length ?? 0;
  if (words === 0) return "Nothing was lost.";
  return words === 1 ? "The last word was sent again." : `${words} words were sent again.`;
}

function anotherVoice(speech, take, _message, code) {
  const voice = speech.defaultVoice;
  if (take.voice === voice) return null;
  speech.dispatchEvent(new CustomEvent("voiceless", { detail: { wanted: take.voice, voice } }));
  const why = code === "voice_unavailable" ? "could not be fetched" : "is not on this server";
  return { manner: { voice }, notice: `${named(take.voice ?? "The voice")} ${why}; ${named(voice)} speaks instead.` };
}

function later(speech, take, message) {
  const afterMs = BUSY_AGAIN_MS * 2 ** (take.failures - 1);
  return { manner: {}, afterMs, notice: `The server is busy: ${message} Trying again…` };
}

function smallerPieces(_speech, take) {
  return { manner: { ahead: Math.ceil(take.ahead / 4) } };
}

/** Remedies for errors that end a take; the server's codes are in docs/protocol.md. */
const REMEDIES = {
  voice_unavailable: anotherVoice,
  unknown_voice: anotherVoice,
  overloaded: later,
  too_many_contexts: later,
  text_limit: smallerPieces,
  resume_gap: () => ({ manner: {} }), // the rest is spoken again
};

/** After these the server no longer has the context. */
const ENDED = ["voice_unavailable", "context_ended", "resume_gap"];

function named(voice) {
  return voice.charAt(0).toUpperCase() + voice.slice(1);
}
