// Whether the server is reachable, as shown on the page, and the key, if the server demands one.

import { KeyQuestion, keptKey } from "../shared/key.js";
import { keep } from "../shared/store.js";

const AWAY_AFTER_MS = 5000; // text said in a shorter break is still spoken after it

/** Events: `away` (text said from now on is not spoken automatically), `back`, `locked`,
 *  `putOff` (there is no key yet, and nothing is spoken). */
export class Online extends EventTarget {
  #connection;
  #parts;
  #question = new KeyQuestion();
  #timer = 0;
  away = false;
  needsKey = false;

  /** `parts`: elements `status`, `text`, `unlock`, `forget`. */
  constructor(connection, parts) {
    super();
    this.#connection = connection;
    this.#parts = parts;
    connection.addEventListener("ready", () => this.#connected());
    connection.addEventListener("resumed", () => this.#connected());
    connection.addEventListener("lost", ({ detail: { why } }) => this.#lost(why));
    connection.addEventListener("locked", ({ detail: { wrong } }) => {
      this.#locked(wrong ? "The key is not one of this server's." : "");
    });
    this.#question.addEventListener("given", ({ detail: key }) => {
      this.#show("wait", "Connecting…");
      connection.open(key);
    });
    this.#question.addEventListener("putOff", () => this.dispatchEvent(new Event("putOff")));
    parts.unlock.addEventListener("click", () => this.ask());
    parts.forget.addEventListener("click", () => {
      keep("key", "");
      connection.close();
      this.#locked("");
    });
  }

  open() {
    this.#wait();
    this.#connection.open(keptKey());
  }

  ask() {
    this.#question.ask();
  }

  #connected() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#show("ready", "Connected");
    this.needsKey = false;
    this.#parts.unlock.hidden = true;
    this.#parts.forget.hidden = !keptKey();
    if (!this.away) return;
    this.away = false;
    this.dispatchEvent(new Event("back"));
  }

  #lost(why) {
    this.#show("lost", why);
    this.#wait();
  }

  #locked(why) {
    this.#show("lost", "A key is needed");
    this.needsKey = true;
    this.#leave();
    this.#parts.unlock.hidden = false;
    this.#parts.forget.hidden = true;
    this.#question.ask(why);
    this.dispatchEvent(new Event("locked"));
  }

  #wait() {
    if (this.away) return;
    this.#timer ||= setTimeout(() => this.#leave(), AWAY_AFTER_MS);
  }

  #leave() {
    if (this.away) return;
    this.away = true;
    this.dispatchEvent(new Event("away"));
  }

  #show(state, text) {
    this.#parts.status.dataset.state = state;
    this.#parts.text.textContent = text;
  }
}
