// Completes the current word or predicts the next, from this user's earlier texts only.
// No other data is used, and nothing leaves this browser.

const WORD = /[\p{L}\p{M}\p{N}'’-]+/gu;
export const CHOICES = 3;

export class Prediction {
  #words = new Map(); // by word: its count
  #pairs = new Map(); // by word: Map of the words that follow it

  /** Learn a text that was said, or saved as a phrase. */
  learn(text) {
    let before = "";
    for (const [word] of text.matchAll(WORD)) {
      count(this.#words, word);
      const key = before.toLocaleLowerCase();
      if (!this.#pairs.has(key)) this.#pairs.set(key, new Map());
      count(this.#pairs.get(key), word);
      before = word;
    }
  }

  /** Up to three words for the end of `text`: [{word, begun}]; `begun` letters are typed. */
  choices(text) {
    const begun = /[\p{L}\p{M}\p{N}'’-]*$/u.exec(text)[0];
    const before = text.slice(0, text.length - begun.length).match(/([\p{L}\p{M}\p{N}'’-]+)[\s,]*$/u)?.[1] ?? "";
    const following = this.#pairs.get(before.toLocaleLowerCase()) ?? new Map();
    const fits = (word) =>
      word.length > begun.length && word.toLocaleLowerCase().startsWith(begun.toLocaleLowerCase());
    const all = begun ? [...likeliest(following), ...likeliest(this.#words)] : likeliest(following);
    const found = new Map(); // by lower-case word: its most frequent form
    for (const word of all.filter(fits)) {
      if (!found.has(word.toLocaleLowerCase())) found.set(word.toLocaleLowerCase(), word);
      if (found.size === CHOICES) break;
    }
    return [...found.values()].map((word) => ({ word, begun: begun.length }));
  }
}

function count(counts, word) {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

function likeliest(counts) {
  return [...counts].sort((one, two) => two[1] - one[1]).map(([word]) => word);
}
