// Adds, changes, moves and removes phrases: in a dialog, by dragging, and by keys.

const SLIP_PX = 8; // movement below this is a tap

/** Event: `removed` (detail: an undo function). */
export class PhraseEditor extends EventTarget {
  #phrases;
  #parts;
  #at = null; // number of the edited phrase; null: a new phrase
  #dragged = null; // {tile, x, y}

  /** `parts`: elements `dialog`, `title`, `text`, `category`, `categories`, `short`, `remove`,
   *  `earlier`, `later`, `cancel`, `tiles`.
   */
  constructor(phrases, parts) {
    super();
    this.#phrases = phrases;
    this.#parts = parts;
    phrases.addEventListener("edit", ({ detail }) => this.open(detail));
    parts.dialog.querySelector("form").addEventListener("submit", () => this.#save());
    for (const field of [parts.text, parts.short]) field.addEventListener("input", () => this.#check());
    parts.cancel.addEventListener("click", () => parts.dialog.close());
    parts.remove.addEventListener("click", () => this.#remove());
    parts.earlier.addEventListener("click", () => this.#move(-1));
    parts.later.addEventListener("click", () => this.#move(1));
    parts.tiles.addEventListener("pointerdown", (event) => this.#grab(event));
    parts.tiles.addEventListener("pointermove", (event) => this.#drag(event));
    parts.tiles.addEventListener("click", (event) => this.#swallow(event), { capture: true });
  }

  /** Open the dialog for a new phrase, or for number `at`. */
  open(at = null, text = "") {
    this.#at = at;
    const { dialog, title, remove, earlier, later, categories, ...fields } = this.#parts;
    const phrase = at === null ? { text, short: "" } : this.#phrases.all[at];
    title.textContent = at === null ? "New phrase" : "Change the phrase";
    fields.text.value = phrase.text;
    fields.category.value = phrase.category ?? this.#phrases.category;
    fields.short.value = phrase.short;
    for (const element of [remove, earlier, later]) element.hidden = at === null;
    categories.replaceChildren(
      ...this.#phrases.categories.map((value) => Object.assign(document.createElement("option"), { value })),
    );
    this.#check();
    dialog.showModal();
    fields.text.focus();
  }

  /** Validation errors are shown by the browser at the input. */
  #check() {
    const { text, short } = this.#parts;
    const taken = this.#phrases.takenBy(short.value, this.#at);
    text.setCustomValidity(text.value.trim() ? "" : "Write the words of the phrase.");
    short.setCustomValidity(taken ? `This stands for “${taken.text}” already.` : "");
  }

  #save() {
    const { text, category, short } = this.#parts;
    const phrase = { text: text.value, category: category.value, short: short.value };
    this.#phrases.put(phrase, this.#at ?? undefined);
  }

  #remove() {
    this.#parts.dialog.close();
    const detail = this.#phrases.remove(this.#at);
    this.dispatchEvent(new CustomEvent("removed", { detail }));
  }

  #move(steps) {
    const to = this.#phrases.neighbour(this.#at, steps);
    if (to === undefined) return;
    this.#phrases.move(this.#at, to);
    this.#at = to;
  }

  // --- dragging -------------------------------------------------------------------------------

  #grab(event) {
    const tile = event.target.closest("[data-at]");
    this.#dragged = null;
    if (!tile || !this.#phrases.editing) return;
    tile.setPointerCapture(event.pointerId);
    this.#dragged = { tile, x: event.clientX, y: event.clientY, moved: false };
  }

  #drag({ clientX, clientY, buttons }) {
    const drag = this.#dragged;
    if (!drag || !buttons) return;
    drag.moved ||= Math.hypot(clientX - drag.x, clientY - drag.y) > SLIP_PX;
    if (!drag.moved) return;
    drag.tile.dataset.dragged = "";
    drag.tile.style.translate = `${clientX - drag.x}px ${clientY - drag.y}px`;
    drag.over = document
      .elementsFromPoint(clientX, clientY)
      .map((element) => element.closest("[data-at]"))
      .find((tile) => tile && tile !== drag.tile);
  }

  /** Suppress the click after a drag. */
  #swallow(event) {
    const drag = this.#dragged;
    this.#dragged = null;
    if (!drag?.moved) return;
    event.stopImmediatePropagation();
    drag.tile.style.translate = "";
    delete drag.tile.dataset.dragged;
    if (drag.over) this.#phrases.move(Number(drag.tile.dataset.at), Number(drag.over.dataset.at));
  }
}
