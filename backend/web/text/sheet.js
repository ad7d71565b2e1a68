// What is written on: a textarea with transparent ink over a copy of its text, which is lit.

/**
 * Events: `edited` (not while an input method is still changing a word), `undo`, `redo` (asked for
 * by keys, a menu, or a shaken phone).
 */
export class Sheet extends EventTarget {
  #area;
  #composing = false;
  #left = null; // the selection, when the focus went elsewhere
  /** The copy: a text node, to be lit. */
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
      area.addEventListener(type, () => (this.#left = null)); // the caret goes where that says
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

  /** Another text; the caret goes to `caret`, or is left to the browser. */
  put(text, caret) {
    if (this.#area.value !== text) this.#area.value = text;
    this.show(text);
    if (caret !== undefined) this.caret = caret;
  }

  show(text = this.text) {
    // A last line break would not open a line of its own.
    this.node.data = `${text}\n`;
  }

  focus() {
    this.#area.focus({ preventScroll: true });
    if (!this.#left) return;
    // Browsers give the focus back after a dialog, but not the caret.
    this.#area.setSelectionRange(0, 0); // what it believes to be in place already, it does not set
    this.#area.setSelectionRange(...this.#left);
    this.#left = null;
  }

  /** Bring the line of the caret into `frame`, which scrolls. */
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
