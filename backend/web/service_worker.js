// The page without its server: what it is made of is asked for as ever, and taken from here where
// there is no answer. Nothing that anybody said, and no key, is kept here.

const SHELL = "shell";
const PARTS = /\/([\w.-]+\.(js|css|svg|png|webmanifest))?$/; // no page but the one that speaks

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

/** The page names what it has loaded before there was anybody to note it. */
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
