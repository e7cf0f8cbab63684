// The colours for canvases: the current ones of the style sheet.
const NAMES = ["ink", "soft", "line", "accent", "second", "stage", "preempted", "paper", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// Calls the listener when the colour scheme changes between light and dark.
export function onScheme(listener) {
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}
