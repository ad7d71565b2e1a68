// From takes to the loudspeaker: one AudioContext, one ring buffer, and the clock of heard audio.

import { BufferPlayer } from "./buffer_player.js";

const REST_AFTER_MS = 15_000; // of silence; then the audio hardware may sleep
const REPORT_EVERY_MS = 250;
const LOAD_AGAIN_MS = 500;
const PREBUFFER_LEAST_S = 0.02;
const PREBUFFER_MOST_S = 0.4;
const CALM_MS = 30_000; // without a gap, before the prebuffer shrinks again
const HIGHEST_RATE_HZ = 48_000; // the server's highest

/**
 * Plays takes (see take.js) in sequence, without gaps between their chunks.
 * Events: `tick` while audio is heard (once a frame), `report` (every 250 ms of that),
 * `dry` (detail: the take whose audio ran out), `rest`.
 */
export class Player extends EventTarget {
  #context = null;
  #port = null; // of the worklet, or its substitute
  #waking = null;
  #waiting = []; // takes not completely in the ring, in order
  #timeline = []; // takes in the ring and not completely heard, in order
  #written = 0; // samples written to the ring since the page was opened
  #anchors = [{ playing: false, frame: 0, position: 0 }];
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

  /** Prepare playback; must be called in a user gesture. */
  wake() {
    const context = this.#contextAtHand();
    if (context.state !== "running" && !this.#paused) context.resume();
    if (!this.#ticking) this.#restLater(); // perhaps nothing will be said
    this.#waking ??= this.#load(context).catch(() => this.#loadAgain());
    return this.#waking;
  }

  /** Enqueue the take: last, or behind the take `after`. */
  enqueue(take, after = this.#waiting.at(-1)) {
    this.#waiting.splice(this.#waiting.indexOf(after) + 1, 0, take);
    this.wake();
  }

  /** The take has new chunks, or is complete. */
  advance() {
    if (!this.#port) return;
    while (this.#waiting.length > 0) {
      const take = this.#waiting[0];
      take.position ??= this.#written;
      for (; take.handedOver < take.chunks.length; take.handedOver++) this.#write(take);
      if (!take.complete) break;
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

  /** Milliseconds of the take that were heard. */
  heardMs(take) {
    if (take.position === undefined) return 0;
    const frames = Math.min(Math.max(this.#heard() - take.position, 0), take.frames);
    return (frames * 1000) / this.rate;
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

  #write(take) {
    const samples = Float32Array.from(take.chunks[take.handedOver], (value) => value / 32768);
    if (samples.length === 0) return;
    if (this.#timeline.at(-1) !== take) this.#timeline.push(take);
    this.#written += samples.length;
    this.#port.postMessage({ type: "audio", samples }, [samples.buffer]);
    this.#start();
  }

  // --- the clock ------------------------------------------------------------------------------

  /** The worklet started or stopped playing. */
  #changed(state) {
    this.#anchors.push(state);
    const heard = this.#heardFrame();
    while (this.#anchors.length > 1 && this.#anchors[1].frame <= heard) this.#anchors.shift();
    const last = this.#timeline.at(-1);
    if (!state.playing && last) this.#tell("dry", last);
  }

  /** The context time that leaves the loudspeaker at a performance.now() time. */
  #output() {
    const context = this.#context;
    const stamp = context.getOutputTimestamp?.();
    if (stamp?.contextTime > 0 && stamp.performanceTime > 0) return stamp;
    const latency = context.outputLatency || context.baseLatency || 0;
    return { contextTime: context.currentTime - latency, performanceTime: performance.now() };
  }

  #heardFrame() {
    if (!this.#context) return 0; // it is being recreated
    const { contextTime, performanceTime } = this.#output();
    const since = Math.max(0, performance.now() - performanceTime) / 1000;
    return Math.min(contextTime + since, this.#context.currentTime) * this.rate;
  }

  /** The number of the sample that leaves the loudspeaker now. */
  #heard() {
    const frame = this.#heardFrame();
    const anchor = this.#anchors.findLast((one) => one.frame <= frame) ?? this.#anchors[0];
    const since = anchor.playing ? frame - anchor.frame : 0;
    return Math.min(Math.max(anchor.position + since, 0), this.#written);
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
    const heard = this.#heard();
    this.#timeline = this.#timeline.filter((take) => take.position + take.frames > heard);
    if (this.#timeline.length === 0) this.#settle();
  }

  #report() {
    if (performance.now() - this.#calmSince > CALM_MS) {
      this.#calmSince = performance.now();
      this.#setPrebuffer(Math.max(this.#prebuffer / 2, PREBUFFER_LEAST_S));
    }
    this.#tell("report");
    if (document.hidden) this.#update(); // hidden pages get no animation frames
  }

  #settle() {
    this.#ticking = false;
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#reporter);
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
