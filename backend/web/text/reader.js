// Reads what is in the text field aloud, and leaves it there: from the caret, sentence by sentence
// back and forward.

const SENTENCE = /[^.!?…。！？\n]*(?:[.!?…。！？]+["'”’»)\]]*|\n|$)\s*/gu;

/** Where the sentences of a text begin. */
export function sentenceStarts(text) {
  return [...text.matchAll(SENTENCE)].filter(([sentence]) => sentence.trim()).map(({ index }) => index);
}

export class Reader {
  #field;
  #stop;

  /** `stop()`: be silent. */
  constructor(field, stop) {
    this.#field = field;
    this.#stop = stop;
  }

  /** From the caret; from the beginning, if it is at the end. */
  start() {
    const { caret, text } = this.#field;
    this.#from(text.slice(caret).trim() ? caret : 0);
  }

  /** The sentence that is read, or `steps` further: -1 is the one before. */
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
