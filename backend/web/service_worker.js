// Makes the page available offline: its files are requested from the server first, and taken from
// the cache without an answer. Spoken text and keys are never cached.

const SHELL = "shell";
const PARTS = /\/([\w.-]+\.(js|css|svg|png|webmanifest))?$/; // no page but the speaking page

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

/** The page lists what it loaded before this worker was active. */
addEventListener("message", ({ data }) => keepAll(data));

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  const ours = method === "GET" && origin === location.origin && PARTS.test(pathname);
  if (ours) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(SHELL);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(request, fresh.clone());
    return fresh;
  } catch (error) {
    const known = await cache.match(request, { ignoreSearch: true });
    if (known) return known;
    throw error;
  }
}

async function keepAll(urls) {
  const cache = await caches.open(SHELL);
  await cache.addAll(urls.filter((url) => PARTS.test(new URL(url).pathname)));
}
