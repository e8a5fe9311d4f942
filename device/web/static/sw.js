// The offline shell: keeps all of the page's own files, so that every view opens while the doorbell cannot be reached.
// Pictures and answers of the API are never kept.
const SHELL = { version: "", paths: [] }; // the doorbell fills it in: the paths of all files, and their hash
const CACHE = `doorbelld-shell-${SHELL.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(SHELL.paths);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin || !SHELL.paths.includes(url.pathname)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    return await cache.match(url.pathname) ?? fetch(event.request);
  })());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window" });
    if (open.length) await open[0].focus();
    else await self.clients.openWindow("/");
  })());
});
