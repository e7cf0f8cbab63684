// The attempts on one time axis: the worker of each, its time, and why it ended.
import { number, now } from "../core/api.js";
import { duration, between, moment, short, whole, words } from "../core/format.js";
import { html, nothing, svg } from "../core/html.js";
import { at } from "../core/root.js";
import { silentFor } from "../parts/silence.js";
import { badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";
import { message } from "../parts/text.js";

const COLUMNS = ["#", "When", "State", "Worker", "Why it ended", "Steps", "Took", "Log"];

export function attempts({ job, attempts: all }) {
  if (!all.length) return empty("No attempt yet.");
  const begin = Date.parse(job.created_at);
  const end = Math.max(job.finished_at ? Date.parse(job.finished_at) : now(), begin + 1000);
  const place = (text) => (100 * ((text ? Date.parse(text) : end) - begin)) / (end - begin);
  return html`<section><h2>Attempts</h2>
    ${table("Attempts", COLUMNS, all.toReversed().map((one) => row(one, job, place)))}
    <p class="soft small">From submission (${moment(job.created_at)}) to ${job.finished_at ? `the end, ${duration(between(job.created_at, job.finished_at))} later` : `now, ${duration(between(job.created_at, null))} later`}.
      <span class="key"><i class="key-waiting"></i>waiting <i class="key-starting"></i>starting <i class="key-training"></i>training</span></p>
  </section>`;
}

const row = (one, job, place) => html`<tr data-attempt=${one.attempt}>
  <th scope="row" class="n">${one.attempt}</th>
  <td class="when">${bar(one, place)}</td>
  <td>${badge(one.state)}${one.claimed_at && !one.finished_at && silentFor(job) !== null ? html`<small class="alarming">silent for ${short(silentFor(job))}</small>` : nothing}</td>
  <td class="who-had">${one.worker || "–"}</td>
  <td class="why">${one.reason ? html`<b>${words(one.reason)}</b>` : nothing}${one.message ? message(one.message) : nothing}</td>
  <td class="n">${steps(one)}</td>
  <td class="n">${duration(between(one.claimed_at, one.finished_at))}</td>
  <td>${one.claimed_at ? html`<a href=${at(`/jobs/${job.id}/logs?attempt=${one.attempt}`)}>log<span class="hidden"> of attempt ${one.attempt}</span></a>` : nothing}</td>
</tr>`;

const steps = (one) => (one.start_step === null ? "–" : `${whole(number(one.start_step))} → ${one.end_step === null ? "…" : whole(number(one.end_step))}`);

function bar(one, place) {
  const parts = [
    ["waiting", one.created_at, one.claimed_at || one.finished_at],
    ["starting", one.claimed_at, one.started_at || one.finished_at],
    ["training", one.started_at, one.finished_at],
  ].filter(([, begin]) => begin);
  const said = parts.map(([name, begin, end]) => `${name} ${duration(between(begin, end))}`).join(", ");
  return html`<svg class="timeline" role="img" aria-label=${said} height="14"><title>${said}</title>
    <line x1="0" x2="100%" y1="7" y2="7" />
    ${parts.map(([name, begin, end]) => svg`<rect class=${name} x=${`${place(begin).toFixed(3)}%`} width=${`${Math.max(place(end) - place(begin), 0.4).toFixed(3)}%`} y="1" height="12" rx="1" />`)}
    ${ENDINGS.has(one.state) ? svg`<rect class="ended" x=${`${Math.min(place(one.finished_at), 99.2).toFixed(3)}%`} width="0.8%" y="0" height="14" />` : nothing}
  </svg>`;
}

const ENDINGS = new Set(["preempted", "lost", "failed"]);
