// URLs of the views. A click on an ordinary link changes the view without loading the page.
import { at, within } from "./root.js";

const ROUTES = [
  [/^\/$/, "jobs"],
  [/^\/jobs\/([0-9a-f]{32})(?:\/([a-z]+))?$/, "job"],
  [/^\/compare$/, "compare"],
  [/^\/queue$/, "queue"],
  [/^\/workers$/, "workers"],
  [/^\/usage$/, "usage"],
  [/^\/submit$/, "submit"],
];

export function route(location = window.location) {
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(within(location.pathname));
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
  if (link.href !== window.location.href) push(link.pathname + link.search);
}

function push(path) {
  window.history.pushState(null, "", path);
  changed();
}

// Opens the view at a path of the service.
export const go = (path) => push(at(path));

// Changes the URL without a new view, for filters.
export const replace = (path) => window.history.replaceState(null, "", at(path));

export const dropFragment = () => window.history.replaceState(null, "", window.location.pathname + window.location.search);
