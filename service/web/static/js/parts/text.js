// A text from a worker. If it is long, such as a traceback, only its first line is shown until the user opens it.
import { html } from "../core/html.js";

const LONG = 240;

export function message(text) {
  const short = text.length <= LONG && text.split("\n").length < 4;
  if (short) return html`<span class="text">${text}</span>`;
  return html`<details class="text"><summary>${beginning(text)}</summary><pre tabindex="0" aria-label="Full text">${text}</pre></details>`;
}

function beginning(text) {
  const line = text.trim().split("\n")[0];
  return `${line.slice(0, LONG / 2)}…`;
}
