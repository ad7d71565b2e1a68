// The API key, for servers that demand it: entered once, then stored in this browser.

import { keep, recall } from "./store.js";

const WHY =
  "Whoever runs the server can give you one. " +
  "This browser keeps it, and shows it to this server only.";

/** The stored key; empty if there is none. */
export function keptKey() {
  return recall("key", "");
}

/** Store the key in a link's fragment (#), and remove it from the address. Returns whether
 *  there was a key.
 */
export function takeKeyFromLink() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return false;
  keep("key", key);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

// The link may be opened while the page is already open.
addEventListener("hashchange", () => takeKeyFromLink() && location.reload());

/** The headers that send it to the server. */
export function keyHeaders() {
  return keptKey() ? { Authorization: `Bearer ${keptKey()}` } : {};
}

/** Events: `given` (detail: the key, stored from now on), `putOff`. */
export class KeyQuestion extends EventTarget {
  #dialog = document.createElement("dialog");
  #text = document.createElement("p");
  #input = document.createElement("input");

  constructor() {
    super();
    const form = Object.assign(document.createElement("form"), { method: "dialog" });
    const title = Object.assign(document.createElement("h2"), { id: "key-title" });
    const label = Object.assign(document.createElement("label"), { htmlFor: "key" });
    title.textContent = "This server asks for a key";
    label.textContent = "Key";
    this.#text.id = "key-text";
    Object.assign(this.#input, { id: "key", type: "password", autocomplete: "off", required: true });
    this.#input.spellcheck = false;
    const submit = Object.assign(document.createElement("button"), { className: "primary" });
    submit.textContent = "Use this key";
    submit.value = "given";
    const later = Object.assign(document.createElement("button"), { type: "button", textContent: "Not now" });
    later.addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.#dialog.returnValue || this.dispatchEvent(new Event("putOff")));
    form.append(title, this.#text, label, this.#input, submit, later);
    this.#dialog.setAttribute("aria-labelledby", title.id);
    this.#dialog.setAttribute("aria-describedby", this.#text.id);
    this.#dialog.append(form);
    document.body.append(this.#dialog);
    form.addEventListener("submit", () => this.#given());
  }

  /** Ask for the key; `why` replaces the usual text. */
  ask(why = "") {
    this.#text.textContent = why ? `${why} ${WHY}` : WHY;
    this.#input.value = "";
    this.#dialog.returnValue = "";
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #given() {
    const key = this.#input.value.trim();
    keep("key", key);
    this.dispatchEvent(new CustomEvent("given", { detail: key }));
  }
}
