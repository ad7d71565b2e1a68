// Selects the samples to play: a ring buffer that prebuffers before it starts and avoids clicks. It is
// rendered on the audio thread by the processor at the end, elsewhere by buffer_player.js. One file
// without imports: bundlers copy what `addModule` loads as it is.
//
// The processor's messages in:  {type: "audio", samples}, {type: "reset"}, {type: "prebuffer", frames},
//                               {type: "tap", on}
// and out: {type: "state", playing, frame, position}: see JitterBuffer;
//          {type: "tap", frame, samples}: a copy of what was rendered, for tests.

const FIRST_SIZE = 1 << 16; // samples; doubles when a long sentence arrives at once
const RAMP_S = 0.005;

class Ring {
  constructor(size = FIRST_SIZE) {
    this.samples = new Float32Array(size);
    this.read = 0; // monotonic sample numbers since the page was opened
    this.written = 0;
  }

  get available() {
    return this.written - this.read;
  }

  write(samples) {
    while (this.available + samples.length > this.samples.length) this.#resize(2);
    const at = this.written % this.samples.length;
    const fits = Math.min(samples.length, this.samples.length - at);
    this.samples.set(samples.subarray(0, fits), at);
    this.samples.set(samples.subarray(fits), 0);
    this.written += samples.length;
  }

  clear() {
    this.read = this.written;
    // Memory needed for one long sentence is released.
    if (this.samples.length > FIRST_SIZE) this.samples = new Float32Array(FIRST_SIZE);
  }

  next() {
    return this.samples[this.read++ % this.samples.length];
  }

  peek() {
    return this.samples[this.read % this.samples.length];
  }

  #resize(factor) {
    const larger = new Float32Array(this.samples.length * factor);
    for (let at = this.read; at < this.written; at++) {
      larger[at % larger.length] = this.samples[at % this.samples.length];
    }
    this.samples = larger;
  }
}

export class JitterBuffer {
  #ring = new Ring();
  #report;
  #waited = 0;
  #jump = 0; // the step at a start or stop, spread over a short ramp
  #ramp;
  #left = 0;
  #last = 0; // the last sample played
  playing = false;
  prebuffer = 0; // frames

  /** `report({playing, frame, position})`: from clock frame `frame` on, the samples from number
   *  `position` on are heard (`playing`), or silence is.
   */
  constructor(rateHz, report) {
    this.#ramp = Math.round(RAMP_S * rateHz);
    this.#report = report;
  }

  /** Frames buffered and not yet rendered. */
  get available() {
    return this.#ring.available;
  }

  /** Whether the next block is known to be more than silence. */
  get sounding() {
    return this.playing || this.#left > 0;
  }

  write(samples) {
    this.#ring.write(samples);
  }

  /** Discard everything buffered; `last` is the sample before `frame`. */
  reset(frame, last = this.#last) {
    this.#ring.clear();
    this.#last = last;
    this.#waited = 0;
    if (this.playing || last !== 0) this.#bridge(0);
    this.playing = false;
    this.#tell(frame);
  }

  /** The clock advanced to `frame` without rendering: there was silence. */
  skip(frame) {
    this.#last = this.#left = 0;
    if (!this.playing) return;
    this.#bridge(this.#ring.peek());
    this.#tell(frame);
  }

  /** Fill `output` with the audio from `frame` on. */
  render(output, frame) {
    if (!this.playing && this.#due(output.length)) this.#start(frame);
    if (!this.sounding) return;
    for (let at = 0; at < output.length; at++) {
      if (this.playing && this.#ring.available === 0) this.#runDry(frame + at);
      const sample = this.playing ? this.#ring.next() : 0;
      this.#last = sample + (this.#left > 0 ? this.#jump * (this.#left-- / this.#ramp) : 0);
      output[at] = this.#last;
    }
  }

  /** Enough is buffered, or the buffered audio has waited as long as the prebuffer lasts. */
  #due(frames) {
    if (this.#ring.available === 0) return false;
    this.#waited += frames;
    return Math.max(this.#ring.available, this.#waited) >= this.prebuffer;
  }

  #start(frame) {
    this.playing = true;
    this.#waited = 0;
    this.#bridge(this.#ring.peek());
    this.#tell(frame);
  }

  #runDry(frame) {
    this.playing = false;
    this.#bridge(0);
    this.#tell(frame);
    this.#ring.clear();
  }

  /** The next sample would be `next`: let the step to it decay, to avoid a click. */
  #bridge(next) {
    this.#jump = this.#last - next;
    this.#left = this.#jump === 0 ? 0 : this.#ramp;
  }

  #tell(frame) {
    this.#report({ playing: this.playing, frame, position: this.#ring.read });
  }
}

/** On the audio thread: the class that renders there. */
function createProcessor() {
  return class RingPlayer extends AudioWorkletProcessor {
    constructor() {
      super();
      this.buffer = new JitterBuffer(sampleRate, (state) => {
        this.port.postMessage({ type: "state", ...state });
      });
      this.tap = false;
      this.port.onmessage = ({ data }) => this.receive(data);
    }

    receive(message) {
      if (message.type === "audio") this.buffer.write(message.samples);
      else if (message.type === "prebuffer") this.buffer.prebuffer = message.frames;
      else if (message.type === "tap") this.tap = message.on;
      else if (message.type === "reset") this.buffer.reset(currentFrame);
    }

    process(_inputs, [[output]]) {
      this.buffer.render(output, currentFrame);
      if (this.tap) {
        this.port.postMessage({ type: "tap", frame: currentFrame, samples: output.slice() });
      }
      return true;
    }
  };
}

if (globalThis.registerProcessor) registerProcessor("ring-player", createProcessor());
