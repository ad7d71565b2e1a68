// The API key, for servers that demand one: asked for once, then kept in this browser.

import { keep, recall } from "./store.js";

const WHY =
  "Whoever runs the server can give you one. " +
  "This browser keeps it, and shows it to this server only.";

/** The key that was given before; empty if none was. */
export function keptKey() {
  return recall("key", "");
}

/** Keep the key that a link carries behind its #, and take it out of the address. Returns whether
 *  there was one.
 */
export function takeKeyFromLink() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return false;
  keep("key", key);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

// The link may be opened where the page is open already.
addEventListener("hashchange", () => takeKeyFromLink() && location.reload());

/** The headers that show it to the server. */
export function keyHeaders() {
  return keptKey() ? { Authorization: `Bearer ${keptKey()}` } : {};
}

/** Events: `given` (detail: the key, which is kept from now on), `putOff`. */
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

  /** Ask, and say `why` in place of the usual. */
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
