// What the page speaks: its takes, each played in its turn, and what the user is told when a voice is
// missing, the line is thin, or the connection drops.

import { ContextTable } from "../client/context_table.js";
import { Take } from "./take.js";

/**
 * Events besides those of ContextTable, whose contexts are takes: `notice` (detail: {text, kind}), `gap`,
 * `voiceless` (detail: {wanted, voice}).
 */
export class Speech extends ContextTable {
  #connection;
  #player;
  #heard = []; // takes whose audio may still be heard
  #lost = false;
  #compressed = false; // the line is thin: sound comes as Opus
  defaultVoice = undefined;
  away = false; // audio requested now would come too late
  manner = {}; // parameters of new takes: voice, speed, volume, typing

  constructor(connection, player) {
    super(connection, "page");
    this.#connection = connection;
    this.#player = player;
    const on = (type, act) => this.addEventListener(type, ({ detail }) => act(detail));
    on("sound", ({ context, samples }) => this.#play(context, samples));
    on("finished", ({ context }) => this.#end(context));
    on("replaced", ({ context, next }) => this.#follow(context, next));
    on("unspoken", ({ error }) => this.#complain(`A sentence could not be spoken: ${error.message}`));
    on("refused", ({ error }) => this.#complain(`That could not be spoken: ${error.message}`));
    on("advice", () => this.#compress());
    on("undecodable", () => this.#undecodable());
    on("restarted", ({ again }) => this.#connected(again.join(" ")));
    on("resumed", () => this.#connected(""));
    connection.addEventListener("lost", ({ detail }) => this.#disconnected(detail));
    player.addEventListener("report", () => this.#reportPlayed());
    player.addEventListener("dry", ({ detail: track }) => this.#ranDry(track));
  }

  createContext(options) {
    return new Take(this.nextId(), options);
  }

  /** Begin a take; see Take for the options. `parameters` go before those of the page. */
  say({ parameters, ...options }) {
    const take = this.createContext({ ...this.#options(parameters), ...options });
    if (this.away) {
      take.complete = true;
      this.#complain("The server is away: that is not spoken.");
      return take;
    }
    this.#heard.push(take);
    this.#player.enqueue(take.track);
    this.add(take);
    return take;
  }

  /** Queue a sound that this page made. */
  play(samples, place) {
    const { track } = this.createContext({ place });
    track.add(samples);
    track.complete = true;
    this.#player.enqueue(track);
    this.#player.advance();
  }

  /** Speak the rest of the take, from where it can still change, with the current parameters. */
  changeManner(take) {
    this.change(take, this.#options());
  }

  /** Stop playback and cancel everything requested until now. */
  silence() {
    for (const take of this.#heard) take.stoppedMs = this.#player.heardMs(take.track);
    this.#player.reset();
    for (const take of this.unfinished) this.cancel(take);
    this.#heard = [];
  }

  /** Takes that are waiting, spoken or heard, earliest first. */
  get atHand() {
    const over = this.#heard.filter((take) => take.complete && this.#over(take));
    for (const take of over) take.place.follow(take, Infinity);
    this.#heard = this.#heard.filter((take) => !over.includes(take));
    return this.#heard;
  }

  remedyFor(take, error) {
    const { code, message } = error;
    if (code === "voice_unavailable" || code === "unknown_voice") return this.#anotherVoice(take, code);
    const remedy = super.remedyFor(take, error);
    if (remedy?.afterMs) this.#complain(`The server is busy: ${message} Trying again…`);
    return remedy;
  }

  #options(parameters) {
    const rateHz = this.#player.rate;
    return { parameters: { ...this.manner, ...parameters }, compressed: this.#compressed, rateHz };
  }

  #anotherVoice({ parameters }, code) {
    const [wanted, voice] = [parameters.voice, this.defaultVoice];
    if (wanted === voice) return null;
    this.tell("voiceless", { wanted, voice });
    const why = code === "voice_unavailable" ? "could not be fetched" : "is not on this server";
    this.#complain(`${named(wanted ?? "The voice")} ${why}; ${named(voice)} speaks instead.`);
    return { options: { parameters: { ...parameters, voice } } };
  }

  // --- playing --------------------------------------------------------------------------------

  #play(take, samples) {
    take.track.add(samples);
    this.#player.advance();
  }

  #end(take) {
    take.track.complete = true;
    this.#player.advance();
  }

  #follow(take, next) {
    this.#heard.push(next);
    this.#player.enqueue(next.track, take.track);
  }

  #over({ track }) {
    return this.#player.heardMs(track) >= (track.frames * 1000) / this.#player.rate - 1;
  }

  #reportPlayed() {
    for (const take of this.unfinished) {
      if (take.track.frames > 0) this.played(take, this.#player.heardMs(take.track));
    }
  }

  /** The audio ran out; the page itself reports a lost connection. */
  #ranDry(track) {
    const take = this.unfinished.find((one) => one.track === track);
    if (!take?.owed || !this.#connection.ready) return;
    this.#player.gap();
    this.tell("gap");
  }

  // --- thin lines -----------------------------------------------------------------------------

  /** The server advises against uncompressed sound: the rest of what is spoken comes as Opus, as
   *  does everything later, until the page is left.
   */
  async #compress() {
    if (this.#compressed) return;
    this.#compressed = await this.compress(this.unfinished);
    if (!this.#compressed) return this.#complain("The connection is slow: there may be gaps.");
    this.#notice("The connection is slow: sound is compressed from now on.", "found");
  }

  #undecodable() {
    this.#compressed = false;
    this.#complain("This browser cannot decode the compressed sound.");
  }

  // --- when the connection drops --------------------------------------------------------------

  #disconnected({ why }) {
    this.#lost = true;
    this.#notice(`${why}. Trying again…`, "lost");
  }

  #connected(again) {
    if (this.#lost) this.#notice(`Connected again. ${resent(again)}`, "found");
    this.#lost = false;
  }

  #complain(text) {
    this.#notice(text, "problem");
  }

  #notice(text, kind) {
    this.tell("notice", { text, kind });
  }
}

function resent(text) {
  const words = text.match(/\S+/g)?.length ?? 0;
  if (words === 0) return "Nothing was lost.";
  return words === 1 ? "The last word was sent again." : `${words} words were sent again.`;
}

function named(voice) {
  return voice.charAt(0).toUpperCase() + voice.slice(1);
}
