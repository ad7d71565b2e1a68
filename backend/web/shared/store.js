// Local storage. Works without it too.

const PREFIX = "duplex-tts.";

/** Event: `failed`, whenever a value could not be stored. */
export const store = new EventTarget();

/** The value stored under `key`, or `otherwise`. */
export function recall(key, otherwise) {
  try {
    const value = JSON.parse(localStorage.getItem(PREFIX + key));
    return value ?? otherwise;
  } catch {
    return otherwise; // storage is forbidden, or holds foreign data
  }
}

/** Store `value` as JSON. If storage is forbidden or full, it is lost with the page. */
export function keep(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    store.dispatchEvent(new Event("failed"));
  }
}

/** Another page of this browser has stored a value under `key`. */
export function onKeptElsewhere(key, act) {
  addEventListener("storage", (event) => event.key === PREFIX + key && act());
}
