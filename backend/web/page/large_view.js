// A text as large as the screen, for the person opposite: turned round on demand.

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
    // From one word to a paragraph: the area of a letter shrinks as their number grows.
    element.style.setProperty("--letters", Math.min(Math.max(text.length, 8), 400));
    dialog.showModal();
  }

  #turn(turned) {
    keep("turned", turned);
    this.#parts.text.toggleAttribute("data-turned", turned);
    this.#parts.turn.setAttribute("aria-pressed", turned);
  }
}
