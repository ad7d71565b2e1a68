// The contexts of one utterance: the one whose audio comes next, and those that go on for it. What a later
// one receives is kept until it is its turn.

export class ContextChain {
  #contexts;
  #kept = new Map(); // by later context: [type, detail] of its events
  #before = ""; // the text before that of the last context

  constructor(first) {
    this.#contexts = [first];
  }

  /** The context whose audio comes next. */
  get first() {
    return this.#contexts[0];
  }

  /** The context that is written to. */
  get last() {
    return this.#contexts.at(-1);
  }

  get all() {
    return [...this.#contexts];
  }

  /** The text of all contexts. */
  get text() {
    return this.#before + this.last.wanted;
  }

  /** `next` goes on for `context`, the last. */
  follow({ context, next }) {
    this.#before = (this.#before + context.wanted).slice(0, next.base);
    this.#contexts.push(next);
    this.#kept.set(next, []);
  }

  /** Whether an event's turn has come; otherwise it is kept. */
  isDue(type, detail) {
    if (detail.context === this.first) return true;
    this.#kept.get(detail.context)?.push([type, detail]);
    return false;
  }

  /** The first context is finished. Returns the next one's events so far, or null if there is none. */
  advance() {
    if (this.#contexts.length === 1) return null;
    this.#contexts.shift();
    const events = this.#kept.get(this.first);
    this.#kept.delete(this.first);
    return events;
  }

  /** `text`, without what contexts before the last one speak, as far as it is the same. */
  restOf(text) {
    let same = 0;
    while (same < this.#before.length && this.#before[same] === text[same]) same++;
    return text.slice(same);
  }
}
