// The audio hardware: one AudioContext with a jitter buffer, and the clock of what leaves the loudspeaker.

import { BufferPlayer } from "./buffer_player.js";

const REST_AFTER_MS = 15_000; // of silence; then the audio hardware may sleep
const LOAD_AGAIN_MS = 500;
const HIGHEST_RATE_HZ = 48_000; // the server's highest

const WITHOUT_WORKLET =
  `duplex-tts plays without its worklet, which is not at ${new URL("worklet.js", import.meta.url)}. ` +
  "Serve duplex-tts/worklet.js there, as bundlers do that know `new URL(…, import.meta.url)`.";

export class AudioOutput {
  #context = null;
  #port = null; // of the worklet, or its substitute
  #waking = null;
  #isMissing = false; // the worklet's file: it plays without
  #paused = false;
  #isBusy = false; // there is audio to be heard
  #resting = 0;
  #gestures = null; // waits for one
  #prebufferS = 0;
  #anchors = [{ playing: false, frame: 0, position: 0 }];
  #onReady;
  #onState;
  written = 0; // samples, since it was created

  /** `onReady()`: samples can be written; `onState({playing})`: the jitter buffer started or stopped. */
  constructor(onReady, onState) {
    this.#onReady = onReady;
    this.#onState = onState;
  }

  get rate() {
    return this.#contextAtHand().sampleRate;
  }

  get isReady() {
    return this.#port !== null;
  }

  /** Prepare playback; the browser allows it in a user gesture only. Resolves when it is ready. */
  wake() {
    const context = this.#contextAtHand();
    if (context.state !== "running" && !this.#paused) context.resume();
    if (!this.#isBusy) this.rest(); // perhaps nothing will be said
    this.#waking ??= this.#load(context).catch(() => this.#loadAgain());
    return this.#waking;
  }

  /** Until sound is allowed, try again with each gesture. */
  wakeByGesture() {
    const context = this.#contextAtHand();
    if (this.#gestures || context.state === "running") return;
    this.#gestures = new AbortController();
    const { signal } = this.#gestures;
    for (const type of ["pointerdown", "keydown"]) {
      document.addEventListener(type, () => this.wake(), { capture: true, signal });
    }
    const stop = () => context.state === "running" && this.#gestures.abort();
    context.addEventListener("statechange", stop, { signal });
  }

  /** Play `samples` (a Float32Array, which is given away) behind those written before. */
  write(samples) {
    this.written += samples.length;
    this.#port.postMessage({ type: "audio", samples }, [samples.buffer]);
    clearTimeout(this.#resting);
    this.#isBusy = true;
    if (this.#context.state !== "running" && !this.#paused) this.#context.resume();
  }

  /** Discard what is not heard, within one render quantum after the audio thread receives it. */
  reset() {
    this.#port?.postMessage({ type: "reset" });
  }

  /** Audio to be buffered before a start. */
  set prebufferS(seconds) {
    this.#prebufferS = seconds;
    if (!this.#port) return;
    const frames = Math.round(seconds * this.rate);
    this.#port.postMessage({ type: "prebuffer", frames });
  }

  /** Nothing is left to be heard: the hardware may sleep soon. */
  rest() {
    this.#isBusy = false;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#context?.suspend(), REST_AFTER_MS);
  }

  get paused() {
    return this.#paused;
  }

  set paused(paused) {
    this.#paused = paused;
    if (paused) this.#context?.suspend();
    else if (this.#isBusy) this.#context.resume();
  }

  /** The number of the sample that leaves the loudspeaker now. */
  get heard() {
    const frame = heardFrame(this.#context);
    const anchor = this.#anchors.findLast((one) => one.frame <= frame) ?? this.#anchors[0];
    const since = anchor.playing ? frame - anchor.frame : 0;
    return Math.min(Math.max(anchor.position + since, 0), this.written);
  }

  close() {
    clearTimeout(this.#resting);
    this.#gestures?.abort();
    this.#context?.close();
  }

  #contextAtHand() {
    if (this.#context) return this.#context;
    this.#context = new AudioContext({ latencyHint: "interactive" });
    if (this.#context.sampleRate > HIGHEST_RATE_HZ) {
      this.#context.close();
      this.#context = new AudioContext({ sampleRate: HIGHEST_RATE_HZ });
    }
    if (this.#paused) this.#context.suspend(); // it would start by itself
    return this.#context;
  }

  async #load(context) {
    const canLoad = context.audioWorklet && !this.#isMissing;
    this.#port = canLoad ? await createWorklet(context) : new BufferPlayer(context);
    this.#port.onmessage = ({ data }) => data.type === "state" && this.#changed(data);
    this.prebufferS = this.#prebufferS;
    this.#onReady();
  }

  /** The worklet failed to load; a context may remember the failure: create a new context. */
  async #loadAgain() {
    this.#context.close();
    this.#context = this.#waking = null;
    this.#isMissing = await isMissing();
    if (this.#isMissing) console.warn(WITHOUT_WORKLET);
    else await new Promise((go) => setTimeout(go, LOAD_AGAIN_MS));
    return this.wake();
  }

  #changed(state) {
    this.#anchors.push(state);
    const heard = heardFrame(this.#context);
    while (this.#anchors.length > 1 && this.#anchors[1].frame <= heard) this.#anchors.shift();
    this.#onState(state);
  }
}

/** Whether the server says that it has no such file: bundlers may leave it behind. */
async function isMissing() {
  try {
    const { ok, headers } = await fetch(new URL("worklet.js", import.meta.url));
    return !ok || !/javascript/.test(headers.get("Content-Type"));
  } catch {
    return false; // it is away for a while
  }
}

async function createWorklet(context) {
  await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "ring-player", {
    numberOfInputs: 0,
    outputChannelCount: [1],
  });
  node.connect(context.destination);
  return node.port;
}

function heardFrame(context) {
  if (!context) return 0; // it is being recreated
  const { contextTime, performanceTime } = outputTime(context);
  const since = Math.max(0, performance.now() - performanceTime) / 1000;
  return Math.min(contextTime + since, context.currentTime) * context.sampleRate;
}

/** The context time that leaves the loudspeaker at a performance.now() time. */
function outputTime(context) {
  const stamp = context.getOutputTimestamp?.();
  if (stamp?.contextTime > 0 && stamp.performanceTime > 0) return stamp;
  const latency = context.outputLatency || context.baseLatency || 0;
  return { contextTime: context.currentTime - latency, performanceTime: performance.now() };
}
