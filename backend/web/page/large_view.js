// Shows a text full-screen for a person sitting opposite, rotated on demand.

import { keep, recall } from "../shared/store.js";

export class LargeView {
  #parts;

  /** `parts`: elements `dialog`, `text`, `turn`, `close`. */
  constructor(parts) {
    this.#parts = parts;
    parts.close.addEventListener("click", () => parts.dialog.close());
    parts.turn.addEventListener("click", () => this.#turn(!recall("turned", false)));
    this.#turn(recall("turned", false));
  }

  show(text) {
    const { dialog, text: element } = this.#parts;
    element.textContent = text;
    // For one word up to a paragraph: letter area shrinks as the number of letters grows.
    element.style.setProperty("--letters", Math.min(Math.max(text.length, 8), 400));
    dialog.showModal();
  }

  #turn(turned) {
    keep("turned", turned);
    this.#parts.text.toggleAttribute("data-turned", turned);
    this.#parts.turn.setAttribute("aria-pressed", turned);
  }
}
