// What is played next, sample by sample: a ring that holds back a little before it begins, and never
// clicks. Knows no audio API: worklet.js and buffer_player.js render from it.

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

export class JitterBuffer {
  #ring = new Ring();
  #report;
  #waited = 0;
  #jump = 0; // the step at a start or stop, spread over a short ramp
  #ramp;
  #left = 0;
  #last = 0; // what left the loudspeaker last
  playing = false;
  prebuffer = 0; // frames

  /** `report({playing, frame, position})`: from `frame` of the clock on, the sample number
   *  `position` and those after it are heard (`playing`), or silence is.
   */
  constructor(rateHz, report) {
    this.#ramp = Math.round(RAMP_S * rateHz);
    this.#report = report;
  }

  /** Frames that are here and not rendered. */
  get available() {
    return this.#ring.available;
  }

  /** Whether the next block is anything but silence, as far as is known. */
  get sounding() {
    return this.playing || this.#left > 0;
  }

  write(samples) {
    this.#ring.write(samples);
  }

  /** Nothing of what is here will be heard; `last` is the sample before `frame`. */
  reset(frame, last = this.#last) {
    this.#ring.clear();
    this.#last = last;
    this.#waited = 0;
    if (this.playing || last !== 0) this.#bridge(0);
    this.playing = false;
    this.#tell(frame);
  }

  /** The clock went on to `frame` while nothing was rendered: there was silence. */
  skip(frame) {
    this.#last = this.#left = 0;
    if (!this.playing) return;
    this.#bridge(this.#ring.peek());
    this.#tell(frame);
  }

  /** Fill `output` with what is heard from `frame` on. */
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

  /** Enough is there, or what is there has waited as long as enough would last. */
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

  /** The next sample would be `next`: let the step to it decay rather than click. */
  #bridge(next) {
    this.#jump = this.#last - next;
    this.#left = this.#jump === 0 ? 0 : this.#ramp;
  }

  #tell(frame) {
    this.#report({ playing: this.playing, frame, position: this.#ring.read });
  }
}
