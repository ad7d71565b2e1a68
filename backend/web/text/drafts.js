// The text field's content, and a draft put aside to edit another text: both survive a reload.

import { keep, recall } from "../shared/store.js";

const KEEP_AFTER_MS = 150;

/** Event: `back` (a draft that was put aside is in the field again). */
export class Drafts extends EventTarget {
  #field;
  #aside = recall("aside", []).filter(({ text }) => typeof text === "string");
  #timer = 0;

  constructor(field) {
    super();
    this.#field = field;
    const { text, base } = recall("draft", {});
    if (typeof text === "string" && text) field.load({ text, base });
    field.addEventListener("changed", () => this.#changed());
    addEventListener("pagehide", () => this.#keep());
    document.addEventListener("visibilitychange", () => this.#keep());
  }

  /** Put a text into the field; the present text returns when that is spoken or cleared. */
  edit(text) {
    const draft = this.#field.putAside();
    if (draft.text.trim()) this.#aside.push(draft);
    this.#field.load({ text });
    this.#field.focus();
    this.#keep();
  }

  #changed() {
    if (this.#field.text === "" && this.#aside.length > 0) {
      // The field is still dispatching the event that it is empty.
      queueMicrotask(() => this.#bringBack());
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keep(), KEEP_AFTER_MS);
  }

  #bringBack() {
    if (this.#field.text !== "" || this.#aside.length === 0) return;
    this.#field.load(this.#aside.pop());
    this.#keep();
    this.dispatchEvent(new Event("back"));
  }

  #keep() {
    clearTimeout(this.#timer);
    keep("draft", this.#field.draft);
    keep("aside", this.#aside);
  }
}
