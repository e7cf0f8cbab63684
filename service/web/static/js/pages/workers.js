// The workers seen within a day, one row each. Ended workers come last.
import { items } from "../core/api.js";
import { ago, left, moment } from "../core/format.js";
import { html, nothing, repeat } from "../core/html.js";
import { polledPage } from "../core/page.js";
import { at } from "../core/root.js";
import { badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const EVERY = 3000;
const COLUMNS = ["Worker", "State", "Job", "Device", "Queues", "Since", "Last seen", "Host", "Version", "Extensions"];
const STATES = ["busy", "idle", "resting", "refused", "lost"];
const RARE = ["resting", "refused"];

export function workersPage(root) {
  document.title = "Workers – Baton";
  return polledPage(root, { workers: null, error: "" }, async () => ({ workers: await items("/v1/workers") }), template, EVERY);
}

function template({ workers, error }) {
  return html`<div class="head"><h1>Workers</h1><p class="soft" role="status">${workers ? summary(workers) : "Loading…"}</p></div>
    <p class="error" role="alert">${error}</p>
    ${!workers ? "" : workers.length ? table("Workers", COLUMNS, repeat(workers, (one) => one.name, row)) : empty("No worker was seen within a day. Start one: baton worker --service URL --token TOKEN")}`;
}

function summary(workers) {
  const count = (state) => workers.filter((one) => one.state === state).length;
  return STATES.filter((state) => !RARE.includes(state) || count(state)).map((state) => `${count(state)} ${state}`).join(", ");
}

const held = (one) => html`<a href=${at(`/jobs/${one.job_id}`)}>${one.job_name || one.job_id.slice(0, 8)}</a>${one.attempt ? html`<small>attempt ${one.attempt}</small>` : nothing}`;
const time = (text, words) => html`<td title=${moment(text)}>${words}</td>`;

const row = (one) => html`<tr data-worker=${one.name} class=${one.state === "ended" ? "over" : ""}>
  <th scope="row">${one.name}</th>
  <td>${badge(one.state)}${one.refusal ? html`<small class="refusal">${one.refusal}</small>` : nothing}${one.rests_until ? html`<small class="refusal" title=${moment(one.rests_until)}>backs off for ${left(one.rests_until)} after ${one.rests_why}</small>` : nothing}</td>
  <td>${one.job_id ? held(one) : "–"}</td>
  <td>${one.device}</td>
  <td>${one.queues.join(", ") || "–"}</td>
  ${time(one.since, ago(one.since))}
  ${time(one.last_seen_at, one.ended_at ? `ended ${ago(one.ended_at)}` : ago(one.last_seen_at))}
  <td>${one.host} <small>process ${one.pid}</small></td>
  <td>${one.version}</td>
  <td>${one.extensions.join(", ") || "–"}</td>
</tr>`;
