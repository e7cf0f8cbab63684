// Tables that scroll if the screen is too narrow, by keyboard too.
import { html } from "../core/html.js";

export const table = (label, columns, rows) => html`<div class="scroll" role="region" aria-label=${label} tabindex="0">
  <table>
    <thead>
      <tr>
        ${columns.map((column) => html`<th scope="col" class=${column.number ? "n" : ""}>${column.title ?? column}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>
</div>`;

export const facts = (pairs) => html`<dl class="facts">
  ${pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
</dl>`;

export const empty = (text) => html`<p class="empty">${text}</p>`;
