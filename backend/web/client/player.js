// Plays utterances, or tracks of samples, one after the other, and tells what was heard of them.

import { AudioOutput } from "./audio_output.js";
import { CannotPlay } from "./errors.js";
import { Playback } from "./playback.js";

const REPORT_EVERY_MS = 250;
const PREBUFFER_LEAST_S = 0.02;
const PREBUFFER_MOST_S = 0.4;
const CALM_MS = 30_000; // without a gap, before the prebuffer shrinks again

/**
 * Plays tracks (see track.js) in sequence, without gaps between their chunks.
 * Events: `tick` while audio is heard (once a frame), `report` (every 250 ms of that),
 * `dry` (detail: the track whose audio ran out), `rest`.
 */
export class Player extends EventTarget {
  #output = new AudioOutput(
    () => this.advance(),
    (state) => this.#changed(state),
  );
  #waiting = []; // tracks not completely in the ring, in order
  #timeline = []; // tracks in the ring and not completely heard, in order
  #playbacks = []; // not heard to their end
  #prebufferS = 0;
  #calmSince = 0;
  #ticking = false;
  #frame = 0;
  #reporter = 0;
  #closed = false;

  constructor() {
    super();
    this.#setPrebuffer(PREBUFFER_LEAST_S);
  }

  /** Why this browser cannot play here, as a readable message, or null. */
  static get obstacle() {
    if (globalThis.AudioContext) return null;
    return "This browser cannot play sound from a web page.";
  }

  get rate() {
    return this.#output.rate;
  }

  /**
   * Play an utterance, behind what is played already. `onWord(word)`: is called when a word is heard.
   *
   * Browsers allow sound only after a click or a key: the player begins with the next one, if there was
   * none. Throws `CannotPlay` where there is no sound, as in Node, and after `close`.
   */
  play(utterance, { onWord } = {}) {
    if (Player.obstacle) throw new CannotPlay(`${Player.obstacle} In Node, write the samples elsewhere.`);
    if (this.#closed) throw new CannotPlay("the player is closed: create another");
    const playback = new Playback(this, utterance, onWord);
    utterance.attach(playback);
    this.#playbacks.push(playback);
    this.enqueue(playback.track);
    this.#output.wakeByGesture();
    this.advance();
    return playback;
  }

  /** Silence at once; all that is played or waits is cancelled. */
  stop() {
    const playbacks = this.#playbacks.splice(0);
    for (const playback of playbacks) playback.freeze();
    this.reset();
    for (const { utterance } of playbacks) utterance.cancel();
  }

  /** Stop, and release the audio hardware. The player cannot be used afterwards. */
  close() {
    this.#closed = true;
    this.stop();
    this.#output.close();
  }

  /** Prepare playback; must be called in a user gesture. */
  wake() {
    return this.#output.wake();
  }

  /** Enqueue the track: last, or behind the track `after`. */
  enqueue(track, after = this.#waiting.at(-1)) {
    this.#waiting.splice(this.#waiting.indexOf(after) + 1, 0, track);
    this.wake();
  }

  /** The track has new chunks, or is complete. */
  advance() {
    if (!this.#output.isReady) return;
    while (this.#waiting.length > 0) {
      const track = this.#waiting[0];
      track.position ??= this.#output.written - track.forgotten;
      for (; track.handedOver < track.chunks.length; track.handedOver++) this.#write(track);
      if (!track.complete) break;
      this.#waiting.shift();
    }
  }

  /** Silence all tracks. */
  reset() {
    this.paused = false; // a suspended context would not process the reset
    this.#output.reset();
    this.#waiting = [];
    this.#timeline = [];
    this.#settle();
  }

  /** Silence one track; the others go on from where they are. */
  remove(track) {
    this.#waiting = this.#waiting.filter((one) => one !== track);
    this.#playbacks = this.#playbacks.filter((one) => one.track !== track);
    if (!this.#timeline.includes(track)) return this.advance();
    const rest = this.#timeline.filter((one) => one !== track);
    for (const one of rest) one.rewind(Math.round(this.#heardFrames(one)));
    this.#output.reset();
    this.#waiting = [...new Set([...rest, ...this.#waiting])];
    this.#timeline = [];
    this.advance();
    if (this.#timeline.length === 0) this.#settle();
  }

  /** Milliseconds of the track that were heard. */
  heardMs(track) {
    return (this.#heardFrames(track) * 1000) / this.rate;
  }

  /** Whether there is audio to be heard. */
  get sounding() {
    return this.#ticking;
  }

  /** Whether playback is paused; its position is kept. */
  get paused() {
    return this.#output.paused;
  }

  set paused(paused) {
    this.#output.paused = paused;
  }

  /** Audio was due and late: increase the prebuffer from now on. */
  gap() {
    this.#calmSince = performance.now();
    this.#setPrebuffer(Math.min(this.#prebufferS * 2, PREBUFFER_MOST_S));
  }

  #heardFrames(track) {
    if (track.position === undefined) return track.forgotten;
    return Math.min(Math.max(this.#output.heard - track.position, 0), track.frames);
  }

  #write(track) {
    const samples = Float32Array.from(track.chunks[track.handedOver], (value) => value / 32768);
    if (samples.length === 0) return;
    if (this.#timeline.at(-1) !== track) this.#timeline.push(track);
    this.#output.write(samples);
    this.#start();
  }

  /** The jitter buffer started or stopped playing. */
  #changed({ playing }) {
    const last = this.#timeline.at(-1);
    if (playing || !last) return;
    if (this.#playbacks.find(({ track }) => track === last)?.utterance.owed) this.gap();
    this.#tell("dry", last);
  }

  #setPrebuffer(seconds) {
    this.#prebufferS = this.#output.prebufferS = seconds;
  }

  // --- while audio is heard -------------------------------------------------------------------

  #start() {
    if (this.#ticking) return;
    this.#ticking = true;
    this.#reporter = setInterval(() => this.#report(), REPORT_EVERY_MS);
    this.#tickAgain();
  }

  #tickAgain() {
    this.#frame = requestAnimationFrame(() => {
      this.#update();
      if (this.#ticking) this.#tickAgain();
    });
  }

  #update() {
    this.#tell("tick");
    for (const playback of [...this.#playbacks]) playback.update();
    this.#playbacks = this.#playbacks.filter((one) => !one.isHeard);
    const { heard } = this.#output;
    this.#timeline = this.#timeline.filter((track) => track.position + track.frames > heard);
    if (this.#timeline.length === 0) this.#settle();
  }

  #report() {
    if (performance.now() - this.#calmSince > CALM_MS) {
      this.#calmSince = performance.now();
      this.#setPrebuffer(Math.max(this.#prebufferS / 2, PREBUFFER_LEAST_S));
    }
    this.#tellHeard();
    if (document.hidden) this.#update(); // hidden pages get no animation frames
  }

  #settle() {
    this.#ticking = false;
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#reporter);
    this.#tellHeard();
    this.#tell("rest");
    this.#output.rest();
  }

  #tellHeard() {
    for (const playback of this.#playbacks) playback.report();
    this.#tell("report");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
