// The editing area: a textarea with transparent text over a copy, which is highlighted.

/**
 * Events: `edited` (not during IME composition), `undo`, `redo` (requested
 * by keys, a menu, or shaking a phone).
 */
export class Sheet extends EventTarget {
  #area;
  #composing = false;
  #left = null; // the selection when the focus left
  /** The copy: a text node, for highlights. */
  node;

  constructor(area, mirror) {
    super();
    this.#area = area;
    this.node = mirror.appendChild(document.createTextNode("\n"));
    area.addEventListener("input", () => this.#edited());
    area.addEventListener("compositionstart", () => (this.#composing = true));
    area.addEventListener("compositionend", () => {
      this.#composing = false;
      this.#edited();
    });
    area.addEventListener("blur", () => (this.#left = [area.selectionStart, area.selectionEnd]));
    for (const type of ["pointerdown", "keydown"]) {
      area.addEventListener(type, () => (this.#left = null)); // this event sets the caret
    }
    area.addEventListener("beforeinput", (event) => {
      const asked = { historyUndo: "undo", historyRedo: "redo" }[event.inputType];
      if (asked) this.#ask(event, asked);
    });
    area.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key === "z") this.#ask(event, event.shiftKey ? "redo" : "undo");
      else if (key === "y") this.#ask(event, "redo");
    });
  }

  get text() {
    return this.#area.value;
  }

  get caret() {
    return this.#area.selectionEnd;
  }

  set caret(at) {
    this.#area.setSelectionRange(at, at);
  }

  /** Replace the text; the caret moves to `caret`, or is left to the browser. */
  put(text, caret) {
    if (this.#area.value !== text) this.#area.value = text;
    this.show(text);
    if (caret !== undefined) this.caret = caret;
  }

  show(text = this.text) {
    // A final line break would not open a new line.
    this.node.data = `${text}\n`;
  }

  focus() {
    this.#area.focus({ preventScroll: true });
    if (!this.#left) return;
    // Browsers restore the focus after a dialog, but not the caret.
    this.#area.setSelectionRange(0, 0); // a selection that seems unchanged is not applied
    this.#area.setSelectionRange(...this.#left);
    this.#left = null;
  }

  /** Scroll `frame` to show the caret's line. */
  reveal(frame) {
    if (document.activeElement !== this.#area) return;
    const at = new Range();
    at.setStart(this.node, Math.min(this.caret, this.node.length - 1));
    at.setEnd(this.node, this.node.length);
    const line = at.getClientRects()[0];
    if (!line) return;
    const { top, bottom } = frame.getBoundingClientRect();
    if (line.top < top) frame.scrollTop -= top - line.top;
    else if (line.bottom > bottom) frame.scrollTop += line.bottom - bottom + line.height / 2;
  }

  #edited() {
    this.show();
    if (!this.#composing) this.dispatchEvent(new Event("edited"));
  }

  #ask(event, type) {
    event.preventDefault();
    this.dispatchEvent(new Event(type));
  }
}
