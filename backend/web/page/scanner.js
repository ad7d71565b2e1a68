// Switch scanning, for one or two switches: steps through rows, then through the buttons of the
// chosen row. A switch is Space or Enter, as adapters send them.

const ROWS = [".actions", "#notice", "#suggestions", "#phrases", "#categories", ".board-head", ".tools", "#waiting", ".log-head", "#history li", "header"];
const PARTS = ".dialog-head, section, fieldset, :scope > .slider"; // of a dialog
const CONTROLS = "button, summary, input:is([type=radio], [type=checkbox], [type=range])";
const SLIDER_STEPS = 10;
const ROUNDS = 2; // through a row without a choice, before returning to the rows

export class Scanner {
  #row = null; // buttons of the chosen row
  #at = -1;
  #passed = 0;
  #marked = [];
  #timer = 0;
  #everyMs = 0;
  #switches = 0;

  constructor() {
    addEventListener("keydown", (event) => this.#pressed(event), { capture: true });
  }

  /** `switches`: 0 is off; 1 advances every `everyMs`; with 2, Space advances. */
  set({ switches, everyMs }) {
    this.#switches = switches;
    this.#everyMs = everyMs;
    this.#back();
    this.#wait();
  }

  #pressed(event) {
    if (this.#switches === 0 || ![" ", "Enter"].includes(event.key)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return;
    if (this.#switches === 2 && event.key === " ") this.#step();
    else this.#choose();
    this.#wait();
  }

  #wait() {
    clearInterval(this.#timer);
    if (this.#switches === 1) this.#timer = setInterval(() => this.#step(), this.#everyMs);
  }

  #step() {
    if (this.#row && this.#passed >= ROUNDS * this.#row.length) this.#back();
    const targets = this.#row?.map((button) => [button]) ?? rows();
    if (targets.length === 0) return this.#back();
    this.#passed++;
    this.#at = (this.#at + 1) % targets.length;
    this.#mark(targets[this.#at]);
  }

  #choose() {
    const chosen = this.#marked.filter(usable);
    if (chosen.length === 0) return this.#step();
    if (chosen.length === 1 && chosen[0].type === "range") return push(chosen[0]);
    if (this.#row || chosen.length === 1) {
      this.#back();
      chosen[0].click();
    } else {
      this.#back();
      this.#row = chosen;
      this.#step();
    }
  }

  #back() {
    this.#row = null;
    this.#at = -1;
    this.#passed = 0;
    this.#mark([]);
  }

  #mark(buttons) {
    for (const button of this.#marked) delete button.dataset.scanned;
    this.#marked = buttons;
    for (const button of buttons) button.dataset.scanned = "";
    buttons[0]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/** The rows of enabled buttons, of the open dialog or of the page. */
function rows() {
  const dialog = document.querySelector("dialog[open]");
  const parts = dialog?.querySelectorAll(PARTS);
  const found = dialog ? (parts.length > 0 ? [...parts] : [dialog]) : ROWS.flatMap((row) => [...document.querySelectorAll(row)]);
  return found
    .map((row) => [...row.querySelectorAll(CONTROLS)].filter(usable))
    .filter((buttons) => buttons.length > 0);
}

/** Advance a slider one step, wrapping from its end to its beginning. */
function push(slider) {
  const [value, min, max] = [slider.value, slider.min, slider.max].map(Number);
  const step = Math.max(Number(slider.step), (max - min) / SLIDER_STEPS);
  slider.value = value >= max ? min : value + step;
  for (const type of ["input", "change"]) slider.dispatchEvent(new Event(type, { bubbles: true }));
}

function usable(button) {
  return button.isConnected && !button.disabled && button.checkVisibility({ visibilityProperty: true });
}
