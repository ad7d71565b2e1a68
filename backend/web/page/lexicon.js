// The dialog "How words are said": the entries of the server's lexicon.

import { button } from "../shared/controls.js";
import { keyHeaders } from "../shared/key.js";
import { complaint } from "../voices/voice_recorder.js";

const PATH = "v1/lexicon";

/** Event: `hear` (detail: {text, lexicon}). */
export class Lexicon extends EventTarget {
  #parts;

  /** `parts`: elements `dialog`, `open`, `close`, `form`, `written`, `said`, `hear`, `entries`,
   *  `status`.
   */
  constructor(parts) {
    super();
    this.#parts = parts;
    parts.open.addEventListener("click", () => this.#open());
    parts.close.addEventListener("click", () => parts.dialog.close());
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    parts.hear.addEventListener("click", () => {
      const { written, said } = this.#parts;
      if (parts.form.reportValidity()) this.#hear(written.value, said.value);
    });
  }

  #open() {
    this.#tell("");
    this.#parts.dialog.showModal();
    this.#load();
  }

  async #load() {
    try {
      const { entries } = await this.#ask("GET");
      const items = entries.map((entry) => this.#item(entry));
      this.#parts.entries.replaceChildren(...items);
      this.#parts.entries.hidden = entries.length === 0;
    } catch (error) {
      this.#tell(`The entries could not be listed: ${error.message}`);
    }
  }

  async #add() {
    const { written, said } = this.#parts;
    try {
      const entry = { written: written.value, said: said.value };
      await this.#ask("PUT", "", JSON.stringify({ entries: [entry] }));
      await this.#load();
      this.#tell(`From now on ${entry.written} is said “${entry.said}”.`);
      written.value = said.value = "";
    } catch (error) {
      this.#tell(`Nothing was added: ${error.message}`);
    }
    written.focus();
  }

  async #remove({ written, said }) {
    try {
      await this.#ask("DELETE", `?${new URLSearchParams({ written })}`);
      await this.#load();
      this.#tell(`${written} was removed.`);
      Object.assign(this.#parts.written, { value: written }); // to change it, or add it again
      Object.assign(this.#parts.said, { value: said });
    } catch (error) {
      this.#tell(`${written} was not removed: ${error.message}`);
    }
    this.#parts.written.focus();
  }

  #item(entry) {
    const { written, said } = entry;
    const item = document.createElement("li");
    const text = document.createElement("p");
    text.append(written, Object.assign(document.createElement("small"), { textContent: said }));
    const hear = button("Hear", () => this.#hear(written, said), `Hear ${written}`);
    const remove = button("Remove", () => this.#remove(entry), `Remove ${written}`);
    item.append(text, hear, remove);
    return item;
  }

  /** Speaks it as it would be said, stored or not. */
  #hear(written, said) {
    const detail = { text: `${written}.`, lexicon: { [written]: said } };
    this.dispatchEvent(new CustomEvent("hear", { detail }));
  }

  async #ask(method, query = "", body = undefined) {
    const headers = { ...keyHeaders(), "Content-Type": "application/json" };
    const answer = await fetch(PATH + query, { method, headers, body });
    if (!answer.ok) throw new Error(await complaint(answer));
    return answer.json();
  }

  #tell(text) {
    this.#parts.status.textContent = text;
  }
}
