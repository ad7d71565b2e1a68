// From tracks to the loudspeaker: one AudioContext, one ring buffer, and the clock of heard audio.

import { AudioClock } from "./audio_clock.js";
import { BufferPlayer } from "./buffer_player.js";
import { CannotPlay } from "./errors.js";
import { Playback } from "./playback.js";

const REST_AFTER_MS = 15_000; // of silence; then the audio hardware may sleep
const REPORT_EVERY_MS = 250;
const LOAD_AGAIN_MS = 500;
const PREBUFFER_LEAST_S = 0.02;
const PREBUFFER_MOST_S = 0.4;
const CALM_MS = 30_000; // without a gap, before the prebuffer shrinks again
const HIGHEST_RATE_HZ = 48_000; // the server's highest

/**
 * Plays tracks (see track.js) in sequence, without gaps between their chunks.
 * Events: `tick` while audio is heard (once a frame), `report` (every 250 ms of that),
 * `dry` (detail: the track whose audio ran out), `rest`.
 */
export class Player extends EventTarget {
  #context = null;
  #port = null; // of the worklet, or its substitute
  #waking = null;
  #waiting = []; // tracks not completely in the ring, in order
  #timeline = []; // tracks in the ring and not completely heard, in order
  #written = 0; // samples written to the ring since the page was opened
  #clock = new AudioClock();
  #playbacks = []; // not heard to their end
  #gestures = null; // waits for one
  #prebuffer = PREBUFFER_LEAST_S;
  #calmSince = 0;
  #paused = false;
  #ticking = false;
  #frame = 0;
  #reporter = 0;
  #resting = 0;

  /** Why this browser cannot play here, as a readable message, or null. */
  static get obstacle() {
    if (globalThis.AudioContext) return null;
    return "This browser cannot play sound from a web page.";
  }

  get rate() {
    return this.#contextAtHand().sampleRate;
  }

  /** Play an utterance, behind what is played already. `onWord(word)`: is called when a word is heard.
   *
   *  Browsers allow sound only after a click or a key: the player begins with the next one, if there was
   *  none. Throws `CannotPlay` where there is no sound, as in Node.
   */
  play(utterance, { onWord } = {}) {
    if (Player.obstacle) throw new CannotPlay(`${Player.obstacle} In Node, write utterance's samples elsewhere.`);
    const playback = new Playback(this, utterance, onWord);
    utterance.attach(playback);
    this.#playbacks.push(playback);
    this.enqueue(playback.track);
    this.#awaitGesture();
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

  /** Stop, and release the audio device. The player cannot be used afterwards. */
  close() {
    this.stop();
    clearTimeout(this.#resting);
    this.#gestures?.abort();
    this.#context?.close();
  }

  /** Prepare playback; must be called in a user gesture. */
  wake() {
    const context = this.#contextAtHand();
    if (context.state !== "running" && !this.#paused) context.resume();
    if (!this.#ticking) this.#restLater(); // perhaps nothing will be said
    this.#waking ??= this.#load(context).catch(() => this.#loadAgain());
    return this.#waking;
  }

  /** Enqueue the track: last, or behind the track `after`. */
  enqueue(track, after = this.#waiting.at(-1)) {
    this.#waiting.splice(this.#waiting.indexOf(after) + 1, 0, track);
    this.wake();
  }

  /** The track has new chunks, or is complete. */
  advance() {
    if (!this.#port) return;
    while (this.#waiting.length > 0) {
      const track = this.#waiting[0];
      track.position ??= this.#written - track.forgotten;
      for (; track.handedOver < track.chunks.length; track.handedOver++) this.#write(track);
      if (!track.complete) break;
      this.#waiting.shift();
    }
  }

  /** Silence the output, within one render quantum after the audio thread receives it. */
  reset() {
    this.paused = false; // a suspended context would not process the reset
    this.#port?.postMessage({ type: "reset" });
    this.#waiting = [];
    this.#timeline = [];
    this.#settle();
  }

  /** Silence one track; the others go on from where they are. */
  remove(track) {
    this.#waiting = this.#waiting.filter((one) => one !== track);
    if (this.#timeline.includes(track)) {
      const rest = this.#timeline.filter((one) => one !== track);
      for (const one of rest) one.rewind(Math.round(this.#heardFrames(one)));
      this.#port.postMessage({ type: "reset" });
      this.#waiting = [...new Set([...rest, ...this.#waiting])];
      this.#timeline = [];
    }
    this.#playbacks = this.#playbacks.filter((one) => one.track !== track);
    this.advance();
    if (this.#ticking && this.#timeline.length === 0) this.#settle();
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
    return this.#paused;
  }

  set paused(paused) {
    this.#paused = paused;
    if (paused) this.#context?.suspend();
    else if (this.#ticking) this.#context.resume();
  }

  /** Audio was due and late: increase the prebuffer from now on. */
  gap() {
    this.#calmSince = performance.now();
    this.#setPrebuffer(Math.min(this.#prebuffer * 2, PREBUFFER_MOST_S));
  }

  #heardFrames(track) {
    if (track.position === undefined) return track.forgotten;
    return Math.min(Math.max(this.#heard() - track.position, 0), track.frames);
  }

  /** Until sound is allowed, try again with each gesture. */
  #awaitGesture() {
    if (this.#gestures || this.#context.state === "running") return;
    this.#gestures = new AbortController();
    const options = { capture: true, signal: this.#gestures.signal };
    for (const type of ["pointerdown", "keydown"]) document.addEventListener(type, () => this.wake(), options);
    const running = () => this.#context.state === "running" && this.#gestures.abort();
    this.#context.addEventListener("statechange", running, { signal: this.#gestures.signal });
  }

  #contextAtHand() {
    if (this.#context) return this.#context;
    this.#context = new AudioContext({ latencyHint: "interactive" });
    if (this.#context.sampleRate > HIGHEST_RATE_HZ) {
      this.#context.close();
      this.#context = new AudioContext({ sampleRate: HIGHEST_RATE_HZ });
    }
    return this.#context;
  }

  async #load(context) {
    this.#port = context.audioWorklet ? await this.#worklet(context) : new BufferPlayer(context);
    this.#port.onmessage = ({ data }) => data.type === "state" && this.#changed(data);
    this.#setPrebuffer(PREBUFFER_LEAST_S);
    this.advance();
  }

  async #worklet(context) {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "ring-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    node.connect(context.destination);
    return node.port;
  }

  /** The worklet failed to load; a context may remember the failure: create a new context. */
  async #loadAgain() {
    this.#context.close();
    this.#context = this.#waking = null;
    await new Promise((go) => setTimeout(go, LOAD_AGAIN_MS));
    return this.wake();
  }

  #write(track) {
    const samples = Float32Array.from(track.chunks[track.handedOver], (value) => value / 32768);
    if (samples.length === 0) return;
    if (this.#timeline.at(-1) !== track) this.#timeline.push(track);
    this.#written += samples.length;
    this.#port.postMessage({ type: "audio", samples }, [samples.buffer]);
    this.#start();
  }

  /** The worklet started or stopped playing. */
  #changed(state) {
    this.#clock.add(state, this.#context);
    const last = this.#timeline.at(-1);
    if (!state.playing && last) this.#ranDry(last);
  }

  #heard() {
    return this.#clock.heard(this.#context, this.#written);
  }

  /** The audio ran out: a gap, if more of it is due. */
  #ranDry(track) {
    if (this.#playbacks.find((one) => one.track === track)?.utterance.owed) this.gap();
    this.#tell("dry", track);
  }

  // --- running and suspended ------------------------------------------------------------------

  #start() {
    clearTimeout(this.#resting);
    if (this.#context.state !== "running" && !this.#paused) this.#context.resume();
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
    const heard = this.#heard();
    this.#timeline = this.#timeline.filter((track) => track.position + track.frames > heard);
    if (this.#timeline.length === 0) this.#settle();
  }

  #report() {
    if (performance.now() - this.#calmSince > CALM_MS) {
      this.#calmSince = performance.now();
      this.#setPrebuffer(Math.max(this.#prebuffer / 2, PREBUFFER_LEAST_S));
    }
    for (const playback of this.#playbacks) playback.report();
    this.#tell("report");
    if (document.hidden) this.#update(); // hidden pages get no animation frames
  }

  #settle() {
    this.#ticking = false;
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#reporter);
    for (const playback of this.#playbacks) playback.report();
    this.#tell("report");
    this.#tell("rest");
    this.#restLater();
  }

  #restLater() {
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#context?.suspend(), REST_AFTER_MS);
  }

  #setPrebuffer(seconds) {
    this.#prebuffer = seconds;
    const frames = Math.round(seconds * this.rate);
    this.#port?.postMessage({ type: "prebuffer", frames });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
