// Samples for the player, as they arrive.

const SILENCE = new Int16Array(0);

export class Track {
  chunks = []; // Int16Array
  frames = 0;
  complete = false; // no more samples will come
  forgotten = 0; // frames whose samples were dropped
  handedOver = 0; // chunks passed to the player
  position; // in the player's ring
  #released = 0; // chunks

  /** The next samples are there. */
  add(samples) {
    this.chunks.push(samples);
    this.frames += samples.length;
  }

  /** Drop the samples of a played chunk. Returns whether they could be dropped. */
  forget(chunk) {
    if (chunk >= this.handedOver) return false;
    this.forgotten += this.chunks[chunk].length;
    this.chunks[chunk] = SILENCE;
    return true;
  }

  /** Drop the samples of chunks that are among the first `frames`, which were heard. */
  release(frames) {
    while (this.#released < this.handedOver) {
      if (this.forgotten + this.chunks[this.#released].length > frames) return;
      this.forget(this.#released++);
    }
  }

  /** Be played again from behind the first `frames`, which were heard. */
  rewind(frames) {
    let left = frames - this.forgotten;
    while (this.chunks.length > 0 && this.chunks[0].length <= left) left -= this.chunks.shift().length;
    if (left > 0) this.chunks[0] = this.chunks[0].subarray(left);
    this.forgotten = frames;
    this.handedOver = this.#released = 0;
    this.position = undefined;
  }

  /** The first `frames` of its samples, as far as they are not dropped, in chunks. */
  first(frames) {
    let left = Math.min(this.frames, frames) - this.forgotten;
    return this.chunks.map((chunk) => {
      const kept = chunk.subarray(0, Math.max(0, left));
      left -= chunk.length;
      return kept;
    });
  }
}
