// The waiting jobs in the order in which workers get them.
import { get } from "../core/api.js";
import { ago, moment, plural } from "../core/format.js";
import { html, nothing, repeat } from "../core/html.js";
import { polledPage } from "../core/page.js";
import { at } from "../core/root.js";
import { empty, table } from "../parts/table.js";

const EVERY = 3000;

export function queuePage(root) {
  document.title = "Queue – Baton";
  return polledPage(root, { view: null, error: "" }, async () => ({ view: await get("/v1/queue") }), template, EVERY);
}

function template({ view, error }) {
  const jobs = view?.items;
  return html`<div class="head"><h1>Queue</h1><p class="soft" role="status">${jobs ? `${plural(jobs.length, "job")}${view.more ? " of more" : ""} in the order in which workers get them` : "Loading…"}</p></div>
    <p class="error" role="alert">${error}</p>
    ${!jobs ? "" : jobs.length ? list(jobs) : empty("No job waits.")}`;
}

function list(jobs) {
  const shared = new Set(jobs.map((one) => one.project)).size > 1;
  const columns = [{ title: "#", number: true }, "Job", ...(shared ? ["Project"] : []), "Owner", "Queue", "Priority", "Since", "Waits for"];
  return table("Queue", columns, repeat(jobs, (one) => one.job_id, (one) => row(one, shared)));
}

const row = (one, shared) => html`<tr>
  <td class="n">${one.position}</td>
  <th scope="row"><a href=${at(`/jobs/${one.job_id}`)}>${one.job_name}</a>${one.ran_before ? html`<small>attempt ${one.attempt}</small>` : nothing}</th>
  ${shared ? html`<td>${one.project}${one.recent_hours === null ? nothing : html`<small>${one.recent_hours} h used recently</small>`}</td>` : nothing}
  <td>${one.owner || "–"}</td>
  <td>${one.queue}</td>
  <td>${one.priority}</td>
  <td title=${moment(one.since)}>${ago(one.since)}</td>
  <td class="message">${one.waiting_for || "–"}</td>
</tr>`;
