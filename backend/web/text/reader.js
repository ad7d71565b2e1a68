// Reads the text field aloud and leaves its text there: from the caret, with steps by sentence
// back and forward.

const SENTENCE = /[^.!?…。！？\n]*(?:[.!?…。！？]+["'”’»)\]]*|\n|$)\s*/gu;

export function sentenceStarts(text) {
  return [...text.matchAll(SENTENCE)].filter(([sentence]) => sentence.trim()).map(({ index }) => index);
}

export class Reader {
  #field;
  #stop;

  /** `stop()`: stop playback. */
  constructor(field, stop) {
    this.#field = field;
    this.#stop = stop;
  }

  /** Read from the caret, or from the beginning if it is at the end. */
  start() {
    const { caret, text } = this.#field;
    this.#from(text.slice(caret).trim() ? caret : 0);
  }

  /** Read the current sentence, or `steps` further: -1 is the previous. */
  skip(steps) {
    const starts = sentenceStarts(this.#field.text);
    const at = this.#field.place.now?.from ?? this.#field.place.heard;
    const current = Math.max(0, starts.findLastIndex((start) => start <= at));
    const next = starts[Math.min(Math.max(current + steps, 0), starts.length - 1)];
    if (next !== undefined) this.#from(next);
  }

  #from(at) {
    this.#stop();
    this.#field.read(at);
  }
}
