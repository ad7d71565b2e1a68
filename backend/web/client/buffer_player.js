// The last stage before the loudspeaker where AudioWorklet is missing (browsers offer it on secure
// origins only). Renders the same jitter buffer slightly ahead, in short blocks.

import { JitterBuffer } from "./worklet.js";

const BLOCK = 1024; // frames
const EVERY_MS = 15;
const AHEAD_S = 0.25; // timers of background pages run rarely
const SOON_S = 0.04; // a block is rendered at least this long before it is heard
const LEAST_S = 0.01; // blocks closer than this may miss their time

/** Accepts the worklet's messages and reports the same states. */
export class BufferPlayer {
  #context;
  #buffer;
  #frame = 0; // clock frame to be rendered next
  #blocks = []; // {source, frame, samples}: scheduled, possibly not yet heard
  #timer = 0;
  onmessage = null;

  constructor(context) {
    this.#context = context;
    this.#buffer = new JitterBuffer(context.sampleRate, (state) => {
      const data = { type: "state", ...state };
      queueMicrotask(() => this.onmessage?.({ data })); // asynchronous, like a port
    });
  }

  postMessage(message) {
    if (message.type === "audio") this.#buffer.write(message.samples);
    else if (message.type === "prebuffer") this.#buffer.prebuffer = message.frames;
    else if (message.type === "reset") this.#reset();
    this.#renderAhead();
  }

  #at(seconds) {
    return Math.ceil((this.#context.currentTime + seconds) * this.#context.sampleRate);
  }

  #reset() {
    const frame = this.#at(LEAST_S);
    const cut = this.#blocks.find((block) => frame > block.frame && frame <= block.frame + BLOCK);
    for (const block of this.#blocks) {
      if (block.frame >= frame) block.source.disconnect();
      else if (block === cut) block.source.stop(frame / this.#context.sampleRate);
    }
    this.#blocks = [];
    this.#frame = frame;
    this.#buffer.reset(frame, cut?.samples[frame - cut.frame - 1] ?? 0);
  }

  #renderAhead() {
    clearTimeout(this.#timer);
    const [least, soon, ahead] = [LEAST_S, SOON_S, AHEAD_S].map((s) => this.#at(s));
    if (!this.#buffer.sounding) this.#frame = Math.max(this.#frame, soon - BLOCK, least);
    else if (this.#frame < least) this.#buffer.skip((this.#frame = least));
    // Late audio may still arrive in time: silence is rendered as late as possible.
    const whole = () => this.#buffer.sounding && this.#buffer.available >= BLOCK;
    const ready = () => whole() || this.#frame < soon;
    while (this.#frame < ahead && ready()) this.#renderBlock();
    this.#blocks = this.#blocks.filter(({ frame }) => frame + BLOCK > this.#at(0));
    if (this.#buffer.sounding || this.#buffer.available > 0) {
      this.#timer = setTimeout(() => this.#renderAhead(), EVERY_MS);
    }
  }

  #renderBlock() {
    const samples = new Float32Array(BLOCK);
    const sounded = this.#buffer.sounding;
    this.#buffer.render(samples, this.#frame);
    if (sounded || this.#buffer.sounding) this.#schedule(samples);
    this.#frame += BLOCK;
  }

  #schedule(samples) {
    const { sampleRate } = this.#context;
    const buffer = this.#context.createBuffer(1, BLOCK, sampleRate);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.start(this.#frame / sampleRate);
    this.#blocks.push({ source, frame: this.#frame, samples });
  }
}
