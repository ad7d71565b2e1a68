// An utterance that is played: its samples on their way to the loudspeaker, and what was heard of it.

import { Resampler } from "./resampler.js";
import { Signal } from "./signal.js";
import { Track } from "./track.js";

/** Created by `Player.play`. */
export class Playback {
  track = new Track();
  isHeard = false; // to its end, or it was silenced
  #player;
  #utterance;
  #onWord;
  #resampler = null;
  #told = 0; // words
  #stoppedMs = Infinity; // where it was silenced
  #changed = new Signal();

  constructor(player, utterance, onWord = () => {}) {
    this.#player = player;
    this.#utterance = utterance;
    this.#onWord = onWord;
  }

  get utterance() {
    return this.#utterance;
  }

  /** The rate at which it is played. */
  get rateHz() {
    return this.#player.rate;
  }

  get heardMs() {
    return Math.min(this.#stoppedMs, this.#player.heardMs(this.track));
  }

  /** The text up to the last word that was heard or begun. */
  get heardText() {
    const { text, words } = this.#utterance;
    const { heardMs } = this;
    const word = heardMs > 0 && words.findLast(({ startMs }) => startMs <= heardMs);
    return word ? text.slice(0, word.to) : "";
  }

  /** Wait until it was heard to its end, or silenced (`cancelled`, received or not). Rejects as the utterance's `done`, after what there
   *  is was heard.
   */
  async done() {
    while (!this.isHeard) await this.#changed.wait();
    const { cancelled } = await this.#utterance.done();
    const isSilenced = this.#stoppedMs < Infinity;
    return { cancelled: cancelled || isSilenced, heardMs: this.heardMs, heardText: this.heardText };
  }

  // --- for the utterance and the player -------------------------------------------------------

  /** The next samples, at `rateHz`. */
  add(samples, rateHz) {
    if (this.isHeard || samples.length === 0) return;
    if (rateHz !== this.rateHz) this.#resampler ??= new Resampler(rateHz, this.rateHz);
    this.track.add(this.#resampler ? toInt16(this.#resampler.push(toFloat(samples))) : samples);
    this.#player.advance();
  }

  /** No more samples will come. */
  end() {
    if (this.isHeard || this.track.complete) return;
    if (this.#resampler) this.track.add(toInt16(this.#resampler.finish()));
    this.track.complete = true;
    this.#player.advance();
    this.update(); // perhaps there is nothing to hear
  }

  /** Silence it at once. */
  drop() {
    if (this.isHeard) return;
    this.freeze();
    this.#player.remove(this.track);
  }

  /** Nothing more of it will be heard. */
  freeze() {
    if (this.isHeard) return;
    this.#stoppedMs = this.heardMs;
    this.isHeard = true;
    this.track.complete = true;
    this.#changed.fire();
  }

  /** Time has passed. */
  update() {
    const { heardMs, rateHz, track } = this;
    const { words } = this.#utterance;
    while (heardMs > 0 && words[this.#told]?.startMs <= heardMs) this.#tell(words[this.#told++]);
    track.release((heardMs * rateHz) / 1000);
    if (!track.complete || heardMs < (track.frames * 1000) / rateHz) return;
    this.isHeard = true;
    this.#changed.fire();
  }

  /** In a microtask: what an application's `onWord` throws stops nothing here. */
  #tell(word) {
    queueMicrotask(() => this.#onWord(word));
  }

  /** Tell the server what was heard. */
  report() {
    if (this.heardMs > 0) this.#utterance.played(this.heardMs);
  }
}

function toFloat(samples) {
  return Float32Array.from(samples, (one) => one / 32768);
}

function toInt16(samples) {
  return Int16Array.from(samples, (one) => Math.max(-32768, Math.min(32767, Math.round(one * 32768))));
}
