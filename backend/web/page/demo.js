// The demo: text that arrives like the output of a language model.

const TOKENS_PER_S = 30;
const TEXT =
  "This text is still being written while you hear it. Each word arrives on its own, " +
  "the way a language model writes, and is spoken as soon as the next one is known. " +
  "So the first sound does not wait for the end of the sentence, and you cannot tell " +
  "from the voice that the rest was not there yet.";

export class Demo {
  #timer = 0;

  get running() {
    return this.#timer !== 0;
  }

  /** Call `write(text, ended)` with the text so far, one token longer each time. */
  start(write) {
    const tokens = TEXT.match(/\s?\S{1,4}/g);
    let text = "";
    this.#timer = setInterval(() => {
      text += tokens.shift();
      if (tokens.length === 0) this.stop();
      write(text, tokens.length === 0);
    }, 1000 / TOKENS_PER_S);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }
}
