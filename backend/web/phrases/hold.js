// Triggers a tile at once, or only after it was held for a while, against accidental taps.

export class Press {
  #act;
  #slip;
  #timer = 0;
  #held = null;
  holdMs = 0;

  /** `act(button)`; `slip()`: released too early. Buttons: those in `container` with `data-at`. */
  constructor(container, { act, slip }) {
    this.#act = act;
    this.#slip = slip;
    container.addEventListener("click", (event) => this.#clicked(event));
    container.addEventListener("pointerdown", (event) => event.button === 0 && this.#begin(event));
    for (const type of ["pointerup", "pointerleave", "pointercancel", "keyup", "focusout"]) {
      container.addEventListener(type, () => {
        if (this.#held && type.endsWith("up")) this.#slip();
        this.#end();
      });
    }
    container.addEventListener("keydown", (event) => {
      if (!event.repeat && ["Enter", " "].includes(event.key)) this.#begin(event);
    });
    container.addEventListener("contextmenu", (event) => this.holdMs && event.preventDefault());
  }

  #tile({ target }) {
    return target.closest("button[data-at]");
  }

  #clicked(event) {
    const tile = this.#tile(event);
    if (tile && this.holdMs === 0) this.#act(tile);
  }

  #begin(event) {
    const tile = this.#tile(event);
    if (!tile || this.holdMs === 0) return;
    this.#end();
    this.#held = tile;
    tile.style.setProperty("--hold", `${this.holdMs}ms`);
    tile.dataset.holding = "";
    this.#timer = setTimeout(() => {
      this.#end();
      this.#act(tile);
    }, this.holdMs);
  }

  #end() {
    clearTimeout(this.#timer);
    if (this.#held) delete this.#held.dataset.holding;
    this.#held = null;
  }
}
