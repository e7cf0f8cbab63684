// The workers that were seen within a day.
import { items } from "../core/api.js";
import { ago, moment } from "../core/format.js";
import { drawer, html, repeat } from "../core/html.js";
import { poll } from "../core/live.js";
import { badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const EVERY = 3000;
const COLUMNS = ["Worker", "State", "Job", "Device", "Host", "Queues", "Extensions", "Version", "Last seen"];

export function workersPage(root) {
  document.title = "Workers – Baton";
  const state = { workers: null, error: "" };
  const draw = drawer(root, () => template(state));
  const asking = poll(async () => {
    try {
      Object.assign(state, { workers: await items("/v1/workers"), error: "" });
    } catch (error) {
      state.error = error.message;
      throw error;
    } finally {
      draw();
    }
  }, EVERY);
  return () => {
    asking.stop();
    draw.end();
  };
}

function template({ workers, error }) {
  return html`<div class="head"><h1>Workers</h1><p class="soft" role="status">${workers ? summary(workers) : "Loading…"}</p></div>
    <p class="error" role="alert">${error}</p>
    ${!workers ? "" : workers.length ? table("Workers", COLUMNS, repeat(workers, (one) => one.name, row)) : empty("No worker was seen within a day. Start one: baton worker --service URL --token TOKEN")}`;
}

function summary(workers) {
  const count = (state) => workers.filter((one) => one.state === state).length;
  return ["busy", "idle", "lost"].map((state) => `${count(state)} ${state}`).join(", ");
}

const row = (one) => html`<tr>
  <th scope="row">${one.name}</th>
  <td>${badge(one.state)}</td>
  <td>${one.job_id ? html`<a href=${`/jobs/${one.job_id}`}>${one.job_id.slice(0, 8)}</a>` : "–"}</td>
  <td>${one.device}</td>
  <td>${one.host} <small>process ${one.pid}</small></td>
  <td>${one.queues.join(", ") || "–"}</td>
  <td>${one.extensions.join(", ") || "–"}</td>
  <td>${one.version}</td>
  <td title=${moment(one.last_seen_at)}>${ago(one.last_seen_at)}</td>
</tr>`;
