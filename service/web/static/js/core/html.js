// Templates of lit-html. It inserts values as text and never parses them as HTML.
export { html, svg, nothing, render } from "../../vendor/lit-html/lit-html.js";
export { repeat } from "../../vendor/lit-html/directives/repeat.js";
export { live } from "../../vendor/lit-html/directives/live.js";
import { render } from "../../vendor/lit-html/lit-html.js";

// A function that draws `template()` into `root` in a microtask, once for all calls before it, and then calls `after`.
export function drawer(root, template, after = () => {}) {
  let due = false;
  let ended = false;
  const draw = () => {
    if (due || ended) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      if (ended) return;
      render(template(), root);
      after();
    });
  };
  draw.end = () => {
    ended = true;
  };
  return draw;
}
