// Decodes Opus in Ogg, as the server sends it (docs/protocol.md, "Thin lines"), while it arrives.

import { Resampler } from "./resampler.js";

const OPUS_HZ = 48_000; // what decoders give
const FRAME_US = 20_000; // of the server's packets
const CONFIG = { codec: "opus", sampleRate: OPUS_HZ, numberOfChannels: 1 };
const HEADERS = 2; // packets
const PAGE_HEAD = 27; // bytes
const LAST_PAGE = 4;

export class OpusStream {
  #decoder;
  #resampler;
  #onSamples;
  #bytes = new Uint8Array(0); // of an incomplete page
  #packets = 0;
  #skip = 0; // samples to discard at the start: the codec's delay
  #decoded = 0; // samples, with those
  #end = Infinity; // of them are sound; the rest is padding

  /** Whether this browser can decode such a stream; only on secure origins. */
  static async isSupported() {
    if (!globalThis.AudioDecoder) return false;
    return (await AudioDecoder.isConfigSupported(CONFIG)).supported;
  }

  /** `onSamples(samples)`: 16-bit samples at `rateHz`, in order; `onFailed()`: none follow. */
  constructor(rateHz, onSamples, onFailed) {
    this.#onSamples = onSamples;
    this.#resampler = rateHz === OPUS_HZ ? null : new Resampler(OPUS_HZ, rateHz);
    this.#decoder = new AudioDecoder({ output: (data) => this.#output(data), error: onFailed });
    this.#decoder.configure(CONFIG);
  }

  /** The stream continues with `bytes`. */
  push(bytes) {
    this.#bytes = joined(this.#bytes, bytes);
    for (let page = firstPage(this.#bytes); page; page = firstPage(this.#bytes)) {
      this.#bytes = this.#bytes.subarray(page.size);
      if (page.isLast) this.#end = page.position;
      for (const packet of page.packets) this.#decode(packet);
    }
  }

  /** The stream has ended: resolves when all of its samples were delivered. */
  async finish() {
    await this.#decoder.flush();
    this.#decoder.close();
    if (this.#resampler) this.#deliver(this.#resampler.finish());
  }

  /** Deliver nothing more. */
  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }

  #decode(data) {
    const number = this.#packets++ - HEADERS;
    if (number === -HEADERS) this.#skip = data[10] + 256 * data[11];
    if (number < 0 || this.#decoder.state === "closed") return;
    const chunk = { type: "key", timestamp: number * FRAME_US, duration: FRAME_US, data };
    this.#decoder.decode(new EncodedAudioChunk(chunk));
  }

  #output(data) {
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    data.close();
    const from = Math.max(0, this.#skip - this.#decoded);
    const until = Math.max(from, Math.min(samples.length, this.#end - this.#decoded));
    this.#decoded += samples.length;
    const sound = samples.subarray(from, until);
    this.#deliver(this.#resampler ? this.#resampler.push(sound) : sound);
  }

  #deliver(samples) {
    const clipped = Int16Array.from(samples, (one) => Math.max(-1, Math.min(1, one)) * 32767);
    if (clipped.length > 0) this.#onSamples(clipped);
  }
}

/** The first page, if all of it is there. The server ends a page with a packet. */
function firstPage(bytes) {
  if (bytes.length < PAGE_HEAD) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const segments = bytes.subarray(PAGE_HEAD, PAGE_HEAD + bytes[26]);
  const size = segments.reduce((sum, length) => sum + length, PAGE_HEAD + bytes[26]);
  if (bytes.length < size || segments.length < bytes[26]) return null;
  const packets = [];
  let [from, to] = [PAGE_HEAD + bytes[26], PAGE_HEAD + bytes[26]];
  for (const length of segments) {
    to += length;
    if (length === 255) continue; // the packet goes on
    packets.push(bytes.subarray(from, to));
    from = to;
  }
  const position = Number(view.getBigInt64(6, true));
  return { size, packets, position, isLast: (bytes[5] & LAST_PAGE) !== 0 };
}

function joined(left, right) {
  if (left.length === 0) return right;
  const all = new Uint8Array(left.length + right.length);
  all.set(left);
  all.set(right, left.length);
  return all;
}
