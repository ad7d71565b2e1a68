// A take: a context of the page. Its option `place` shows its text, which begins at `base` there. It
// knows what was heard of it.

import { Context } from "../client/context.js";
import { Track } from "../client/track.js";

export class Take extends Context {
  track = new Track();
  silent = []; // {from, to}: words that the voice cannot read, reported without audio
  stoppedMs = Infinity; // where it was silenced

  get options() {
    return { ...super.options, place: this.place };
  }

  receive(header) {
    const received = super.receive(header);
    this.#noteSilent(received.from, received.to);
    return received;
  }

  /** Whether all of its text is spoken, or cannot be. */
  get accounted() {
    return this.wanted.trim() !== "" && this.spoken >= this.wanted.trimEnd().length;
  }

  /** The words at a time: `heard` is the end of the last word heard or begun, `now` is playing. */
  at(ms) {
    const next = this.words.findIndex((word) => word.startMs > ms);
    const word = next < 0 ? this.words.at(-1) : this.words[next - 1];
    if (!word) return { heard: 0, now: null };
    return { heard: word.to, now: ms < word.endMs ? word : null };
  }

  /** The part of its audio that was heard, in chunks. */
  heardChunks(rate) {
    return this.track.first((this.stoppedMs * rate) / 1000);
  }

  #noteSilent(begin, end) {
    for (const match of this.sent.slice(begin, end).matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      const [from, to] = [begin + match.index, begin + match.index + match[0].length];
      const heard = this.words.some((word) => word.from < to && word.to > from);
      if (!heard) this.silent.push({ from, to });
    }
  }
}
