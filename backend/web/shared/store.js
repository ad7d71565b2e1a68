// What this browser remembers. A browser that remembers nothing is fine, too.

const PREFIX = "duplex-tts.";

/** Event: `failed`, whenever something could not be kept. */
export const store = new EventTarget();

/** The value kept under `key`, or `otherwise`. */
export function recall(key, otherwise) {
  try {
    const value = JSON.parse(localStorage.getItem(PREFIX + key));
    return value ?? otherwise;
  } catch {
    return otherwise; // storage is forbidden, or holds what is not ours
  }
}

/** Keep `value`, as JSON. Where that is forbidden, or full, it is forgotten with the page. */
export function keep(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    store.dispatchEvent(new Event("failed"));
  }
}

/** Another page of this browser has kept something under `key`. */
export function onKeptElsewhere(key, act) {
  addEventListener("storage", (event) => event.key === PREFIX + key && act());
}
