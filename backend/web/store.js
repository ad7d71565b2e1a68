// What this browser remembers. A browser that remembers nothing is fine, too.

const PREFIX = "duplex-tts.";

/** The value kept under `key`, or `otherwise`. */
export function recall(key, otherwise) {
  try {
    const value = JSON.parse(localStorage.getItem(PREFIX + key));
    return value ?? otherwise;
  } catch {
    return otherwise; // storage is forbidden, or holds what is not ours
  }
}

/** Keep `value`, as JSON. */
export function keep(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Full or forbidden: it is forgotten with the page.
  }
}
