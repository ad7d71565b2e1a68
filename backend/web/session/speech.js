// The conductor between the connection and the player: which takes there are, what each is told,
// and what happens to them when a voice is missing or the connection drops.

import { wordStart } from "../text/edits.js";
import { Take } from "./take.js";

const MOST_FAILURES = 5;
const BUSY_AGAIN_MS = 1000;

/**
 * Events: `notice` (detail: {text, kind}), `replaced` (detail: {take, next}: what the first did not
 * speak, the second will), `spoken` (detail: take; more of it is locked), `sound` (detail: take; it has one more chunk),
 * `finished` (detail: take), `gap`, `voiceless` (detail: {wanted, voice}).
 */
export class Speech extends EventTarget {
  #connection;
  #player;
  #takes = new Map(); // by context id, those that are not complete
  #heard = []; // takes whose audio may still be heard
  #lost = false;
  manner = {}; // of what is said from now on: voice, speed, volume, typing
  defaultVoice = undefined;
  away = false; // what is asked for now would be heard too late

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

  /** Play a sound of this page's own, in its turn. */
  play(samples, place) {
    const take = Object.assign(new Take({ place }), { ended: true, complete: true });
    take.chunks.push(samples);
    take.frames = samples.length;
    this.#player.enqueue(take);
    this.#player.advance();
  }

  /** The take's text is to be `text` now; with `ended`, for good. */
  update(take, text, ended = false) {
    take.wanted = text;
    take.ended = ended;
    this.#pump(take);
  }

  /** The rest of the take, from what can still change on, is spoken in the present manner. */
  change(take) {
    if (!take.open) return Object.assign(take, this.manner);
    take.changing = true;
    if (!take.retracting) take.retract((message) => this.#connection.send(message), take.spoken);
  }

  /** Silence, and nothing more of what was asked for until now. */
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

  /** Takes that are not wholly here yet, the earliest first. */
  get unfinished() {
    return [...this.#takes.values()];
  }

  /** Nothing more of the take is to come. What is here is heard. Returns the text that is not. */
  withdraw(take) {
    const rest = take.wanted.slice(take.spoken);
    if (take.open) this.#connection.send({ type: "cancel", context: take.id });
    take.wanted = take.wanted.slice(0, take.spoken);
    take.ended = true;
    this.#finish(take);
    return rest;
  }

  /** Takes that are waiting, spoken or heard, the earliest first. */
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
    this.#takes.delete(take.id);
    this.#player.advance();
    this.#tell("finished", take);
  }

  // --- what the server says -------------------------------------------------------------------

  #received({ header, samples }) {
    const take = this.#takes.get(header.context);
    if (header.type === "error") return this.#failed(take, header);
    if (!take) return; // silenced, while this was on its way
    if (header.type === "audio") {
      take.receive(header, samples);
      if (samples.length > 0) this.#tell("sound", take);
      this.#player.advance();
      this.#tell("spoken", take);
      this.#pump(take);
    } else if (header.type === "retracted") {
      take.retracted(header.to);
      if (take.changing) this.#replace(take, take.sent.length, this.manner);
      this.#pump(take);
    } else if (header.type === "done") {
      this.#finish(take);
    }
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

  /** Leave the take as far as it came; a successor speaks the rest, if a manner is given. */
  #abandon(take, manner, afterMs = 0) {
    if (manner) this.#follow(take, this.#successor(take, take.spoken, manner), afterMs);
    this.#finish(take);
  }

  // --- one take after another -----------------------------------------------------------------

  /** End the take at `at`, and let a new one speak what is behind. */
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

  /** The server knows nothing of what was being said: it is told again. */
  #begunAnew() {
    const open = [...this.#takes.values()].filter((take) => take.open);
    this.#connected(open.map((take) => this.#sayAgain(take)).join(" "));
  }

  /** What was received is still heard; the rest goes out again, from the start of a word. Returns
   *  what of it the server had been told before.
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

  /** Sound ran out; of a lost connection the page speaks itself. */
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

/** What can be done about an error that ends a take; the server's codes are in docs/protocol.md. */
const REMEDIES = {
  voice_unavailable: anotherVoice,
  unknown_voice: anotherVoice,
  overloaded: later,
  too_many_contexts: later,
  text_limit: smallerPieces,
  resume_gap: () => ({ manner: {} }), // the rest is said again
};

/** After these the server has no such context any more. */
const ENDED = ["voice_unavailable", "context_ended", "resume_gap"];

function named(voice) {
  return voice.charAt(0).toUpperCase() + voice.slice(1);
}
