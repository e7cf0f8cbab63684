// URLs of the views. A click on an ordinary link changes the view without loading the page.

const ROUTES = [
  [/^\/$/, "jobs"],
  [/^\/jobs\/([0-9a-f]{32})(?:\/([a-z]+))?$/, "job"],
  [/^\/compare$/, "compare"],
  [/^\/workers$/, "workers"],
  [/^\/submit$/, "submit"],
];

export function route(location = window.location) {
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(location.pathname);
    if (found) return { name, parts: found.slice(1), query: new URLSearchParams(location.search) };
  }
  return { name: "missing", parts: [], query: new URLSearchParams() };
}

let changed = () => {};

export function start(listener) {
  changed = listener;
  window.addEventListener("popstate", () => changed());
  document.addEventListener("click", clicked);
}

function clicked(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
  if (link.hash && link.pathname === window.location.pathname) return;
  if (route(link).name === "missing") return;
  event.preventDefault();
  if (link.href !== window.location.href) go(link.pathname + link.search);
}

export function go(path) {
  window.history.pushState(null, "", path);
  changed();
}

// Changes the URL without a new view, for filters.
export function replace(path) {
  window.history.replaceState(null, "", path);
}
