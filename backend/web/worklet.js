// The last step before the loudspeaker: a ring buffer that never clicks.
//
// In:  {type: "audio", samples}, {type: "reset"}, {type: "prebuffer", frames}, {type: "tap", on}
// Out: {type: "state", playing, frame, position} whenever playing begins or ends, and after a
//      reset: at `frame` of the context's clock the ring was at sample number `position`.
//      {type: "tap", frame, samples}: a copy of what was rendered, for tests.

const FIRST_SIZE = 1 << 16; // samples; doubles when a long sentence arrives at once
const RAMP_S = 0.005;

class Ring {
  constructor(size = FIRST_SIZE) {
    this.samples = new Float32Array(size);
    this.read = 0; // both only grow: sample numbers since the page was opened
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
    // What one long sentence needed is not kept for ever.
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

class RingPlayer extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Ring();
    this.playing = false;
    this.prebuffer = 0;
    this.waited = 0;
    this.last = 0; // what left the loudspeaker last
    this.jump = 0; // the step at a start or stop, spread over a short ramp
    this.ramp = Math.round(RAMP_S * sampleRate);
    this.left = 0;
    this.tap = false;
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  receive(message) {
    if (message.type === "audio") this.ring.write(message.samples);
    else if (message.type === "prebuffer") this.prebuffer = message.frames;
    else if (message.type === "tap") this.tap = message.on;
    else if (message.type === "reset") this.reset();
  }

  reset() {
    this.ring.clear();
    if (this.playing) this.bridge(0);
    this.playing = false;
    this.waited = 0;
    this.report(currentFrame);
  }

  process(_inputs, [[output]]) {
    if (!this.playing && this.due(output.length)) this.start();
    if (this.playing || this.left > 0) this.render(output);
    if (this.tap) {
      this.port.postMessage({ type: "tap", frame: currentFrame, samples: output.slice() });
    }
    return true;
  }

  /** Enough is there, or what is there has waited as long as enough would last. */
  due(frames) {
    if (this.ring.available === 0) return false;
    this.waited += frames;
    return Math.max(this.ring.available, this.waited) >= this.prebuffer;
  }

  start() {
    this.playing = true;
    this.waited = 0;
    this.bridge(this.ring.peek());
    this.report(currentFrame);
  }

  render(output) {
    for (let at = 0; at < output.length; at++) {
      if (this.playing && this.ring.available === 0) {
        this.playing = false;
        this.bridge(0);
        this.report(currentFrame + at);
        this.ring.clear();
      }
      const sample = this.playing ? this.ring.next() : 0;
      this.last = sample + (this.left > 0 ? this.jump * (this.left-- / this.ramp) : 0);
      output[at] = this.last;
    }
  }

  /** The next sample would be `next`: let the step to it decay rather than click. */
  bridge(next) {
    this.jump = this.last - next;
    this.left = this.jump === 0 ? 0 : this.ramp;
  }

  report(frame) {
    this.port.postMessage({
      type: "state",
      playing: this.playing,
      frame,
      position: this.ring.read,
    });
  }
}

registerProcessor("ring-player", RingPlayer);
