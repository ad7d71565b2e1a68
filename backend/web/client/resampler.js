// Changes the sample rate of a stream of samples: windowed sinc, a table of its phases.

const HALF = 16; // input samples on either side, at the lower of the two rates

export class Resampler {
  #up;
  #down;
  #half;
  #phases;
  #held; // input samples still needed
  #at = 0; // of the next output sample: in units of 1 / up input samples, from the start of `#held`
  #received = 0;
  #sent = 0;

  constructor(fromHz, toHz) {
    const common = gcd(fromHz, toHz);
    this.#up = toHz / common;
    this.#down = fromHz / common;
    const cutoff = Math.min(1, toHz / fromHz);
    this.#half = Math.ceil(HALF / cutoff);
    this.#phases = Array.from({ length: this.#up }, (_, phase) =>
      kernel(phase / this.#up, this.#half, cutoff * 0.95),
    );
    this.#held = new Float32Array(this.#half - 1); // silence before the start
  }

  /** The samples that are ready, of the stream that continues with `samples`. */
  push(samples) {
    this.#received += samples.length;
    const input = new Float32Array(this.#held.length + samples.length);
    input.set(this.#held);
    input.set(samples, this.#held.length);
    const output = [];
    for (; Math.floor(this.#at / this.#up) + 2 * this.#half <= input.length; this.#at += this.#down) {
      const first = Math.floor(this.#at / this.#up);
      const taps = this.#phases[this.#at % this.#up];
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * input[first + tap];
      output.push(sum);
    }
    const used = Math.min(Math.floor(this.#at / this.#up), input.length);
    this.#held = input.slice(used);
    this.#at -= used * this.#up;
    this.#sent += output.length;
    return Float32Array.from(output);
  }

  /** The rest: with it, the output lasts as long as the input. */
  finish() {
    const total = Math.ceil((this.#received * this.#up) / this.#down);
    const left = total - this.#sent;
    return this.push(new Float32Array(2 * this.#half)).subarray(0, left);
  }
}

/** Weights of `2 * half` input samples for an output sample `offset` after the middle one. */
function kernel(offset, half, cutoff) {
  const weights = Float32Array.from({ length: 2 * half }, (_, tap) => {
    const x = tap - (half - 1) - offset;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
    return sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / (half + 1)));
  });
  const sum = weights.reduce((left, right) => left + right);
  return weights.map((weight) => weight / sum);
}

function gcd(left, right) {
  return right === 0 ? left : gcd(right, left % right);
}
