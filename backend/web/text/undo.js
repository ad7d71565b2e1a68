// Undo and redo of a text whose beginning may be spoken, and thus fixed, in the meantime.

const ONE_STEP_MS = 1500; // typing without such a pause, within a word, is undone in one step
const MOST_STEPS = 500;

export class UndoStack {
  #past = [];
  #future = [];
  #typedAt = 0;
  #typedTo = -1; // where the last single character was typed

  /** `text` is the text before a change of {at, removed, inserted} (see edits.js). */
  record(text, { at, removed, inserted }, now = performance.now()) {
    const typed = removed === 0 && /^\S$/u.test(inserted);
    const goesOn = typed && at === this.#typedTo && now - this.#typedAt < ONE_STEP_MS;
    this.#typedTo = typed ? at + inserted.length : -1;
    this.#typedAt = now;
    this.#future = [];
    if (goesOn) return;
    this.#past.push(text);
    if (this.#past.length > MOST_STEPS) this.#past.shift();
  }

  /** The text before the last change, with the first `locked` units of `text` unchanged; null
   *  if there is nothing to undo.
   */
  undo(text, locked) {
    return this.#step(this.#past, this.#future, text, locked);
  }

  redo(text, locked) {
    return this.#step(this.#future, this.#past, text, locked);
  }

  clear() {
    this.#past = [];
    this.#future = [];
    this.#typedTo = -1;
  }

  #step(from, to, text, locked) {
    this.#typedTo = -1;
    const spoken = text.slice(0, locked);
    while (from.length > 0) {
      const wanted = from.pop();
      const found = wanted.startsWith(spoken) ? wanted : spoken;
      if (found === text) continue; // all of that change is spoken
      to.push(text);
      return found;
    }
    return null;
  }
}
