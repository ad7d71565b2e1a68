// Says "I am still typing" at intervals, only while the user is typing and nothing is heard.

import { Place } from "../text/highlight.js";

const WORDS = "I am still typing.";
const TYPES_WITHIN_MS = 5000; // the user counts as typing for this long after an edit
const LOOK_EVERY_MS = 500;

export class StillTyping {
  #field;
  #speech;
  #timer = 0;
  #editedAt = 0;
  #heardAt = 0; // when audio was last heard, or the text was begun
  /** 0: never. */
  everyMs = 0;

  constructor(field, speech) {
    this.#field = field;
    this.#speech = speech;
    field.addEventListener("changed", () => this.#edited());
  }

  #edited() {
    this.#editedAt = performance.now();
    if (this.everyMs === 0 || this.#timer || this.#field.text === "") return;
    this.#heardAt = this.#editedAt;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  #look() {
    const now = performance.now();
    const types = this.#field.text !== "" && now - this.#editedAt < TYPES_WITHIN_MS;
    if (!types || this.everyMs === 0) {
      clearInterval(this.#timer);
      this.#timer = 0;
    } else if (this.#speech.atHand.length > 0) {
      this.#heardAt = now;
    } else if (now - this.#heardAt >= this.everyMs) {
      this.#heardAt = now;
      this.#speech.say({ text: WORDS, place: new Place(new Text(WORDS)), ended: true });
    }
  }
}
