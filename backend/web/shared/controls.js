// Small components shared by the page's lists.

/** A button with a text, which is also its accessible name unless `label` is given. */
export function button(text, act, label = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  if (label) element.setAttribute("aria-label", label);
  if (act) element.addEventListener("click", act);
  return element;
}

/** Taps do not move the focus: a phone's keyboard stays open, and typing goes into the text. */
export function keepFocus(container) {
  container.addEventListener("mousedown", (event) => {
    if (event.target.closest("button") && !event.target.closest("dialog")) event.preventDefault();
  });
}

/** Shows a message for a while; a repeated message is not announced again. */
export class Notice {
  #page;
  #element;
  #fading = 0;

  constructor(element) {
    this.#page = this.#element = element;
  }

  /** `kind`: "problem", "lost" (persistent), "text" (about the current text), "cleared" (the text
   *  is about to be replaced) or "".
   *  `action`: {label, act}, a button behind it. In an open dialog, if that has a place for it.
   */
  show(text, kind = "", action = null) {
    const element = document.querySelector("dialog[open] .dialog-notice") ?? this.#page;
    if (element !== this.#element) this.hide();
    this.#element = element;
    const same = this.#element.firstChild?.data === text && !action;
    if (!same) this.#element.replaceChildren(text);
    if (action) this.#element.append(" ", this.#button(action));
    this.#element.dataset.kind = kind;
    clearTimeout(this.#fading);
    if (kind !== "lost") this.#fading = setTimeout(() => this.hide(), action ? 20_000 : 10_000);
  }

  /** Hide it, or only messages of some kinds. */
  hide(...kinds) {
    const { kind } = this.#element.dataset;
    if (kinds.length === 0 || kinds.includes(kind)) this.#element.replaceChildren();
  }

  #button({ label, act }) {
    return button(label, () => {
      this.hide();
      act();
    });
  }
}
