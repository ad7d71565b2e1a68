// Keeps the page on this device where the browser allows it: on https and localhost.

/** Does not block; failure is harmless. */
export async function keepOffline() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("service_worker.js");
    const { active } = await navigator.serviceWorker.ready;
    const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
    active.postMessage([...new Set([new URL("./", location.href).href, ...loaded])].filter(isOurs));
  } catch {
    // Storage is forbidden, or a certificate is not trusted: the page works without it.
  }
}

function isOurs(url) {
  return new URL(url).origin === location.origin;
}
