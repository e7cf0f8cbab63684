// The job's objects in the store: checkpoints, artifacts, the report. And its spec.
import { ago, bytes, duration, moment, whole } from "../core/format.js";
import { html, nothing, repeat } from "../core/html.js";
import { at } from "../core/root.js";
import { badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const REPORT = "report.html";
const MOST = 200;
const numbers = (titles, from, to) => titles.map((title, k) => ({ title, number: k >= from && k <= to }));
const CHECKPOINTS = numbers(["State", "Named by", "Committed", "Step", "Stage", "Epoch", "Size", "Saved in", "Training waited"], 3, 8);
const ARTIFACTS = numbers(["File", "Type", "Written", "CRC32C", "Size"], 4, 4);

export class Checkpoints {
  constructor(draw) {
    this.draw = draw;
    this.all = false;
  }

  template({ job, checkpoints }) {
    if (!checkpoints) return empty("Loading…");
    const there = checkpoints.filter((one) => this.all || one.state !== "deleted");
    return html`<section>
      <div class="tools"><label class="small"><input type="checkbox" .checked=${this.all} @change=${(event) => this.show(event.target.checked)} />show deleted</label>
        <span class="soft small">${checkpoints.length} committed so far, ${checkpoints.filter((one) => one.state === "committed").length} in the store${there.length > MOST ? `, the newest ${MOST} shown` : ""}</span></div>
      ${there.length ? table("Checkpoints", CHECKPOINTS, repeat(there.slice(0, MOST), (one) => one.id, (one) => checkpoint(one, Boolean(job.spec.program)))) : empty(checkpoints.length ? "All checkpoints of this job were deleted." : "No checkpoint yet.")}
    </section>`;
  }

  show(all) {
    this.all = all;
    this.draw();
  }
}

// The position of a program is its step only.
const checkpoint = (one, program) => html`<tr>
  <td>${badge(one.state)}</td>
  <td>${one.roles.map((role) => html`<span class="role">${role.replace("_", " ")}</span>`)}</td>
  <td title=${moment(one.committed_at)}>${ago(one.committed_at)}</td>
  <td class="n">${whole(one.global_step)}</td><td class="n">${program ? "–" : one.stage + 1}</td><td class="n">${program ? "–" : one.epoch}</td>
  <td class="n">${bytes(one.bytes)}</td><td class="n">${duration(one.seconds)}</td><td class="n">${milliseconds(one.stall_seconds)}</td>
</tr>`;

const milliseconds = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds));

export function artifacts({ job, artifacts: all }) {
  if (!all) return empty("Loading…");
  if (!all.length) return empty(job.spec.program ? "No file yet. A program adds one by run.publish()." : "No file yet. The first ones appear after the first epoch.");
  return html`<section>${table("Files", ARTIFACTS, all.map(artifact))}</section>`;
}

const artifact = (one) => html`<tr>
  <th scope="row"><a href=${at(one.url)} download=${one.name}>${one.name}</a></th>
  <td>${one.content_type}</td><td title=${moment(one.committed_at)}>${ago(one.committed_at)}</td>
  <td><code>${one.crc32c}</code></td><td class="n">${bytes(one.size)}</td>
</tr>`;

// The frame keeps the shown report until the reader asks for the newer one, so that the reader does not lose the place.
export class Report {
  constructor(draw) {
    this.draw = draw;
    this.shown = null;
  }

  template(store) {
    if (!store.artifacts) return empty("Loading…");
    const found = store.artifacts.find((one) => one.name === REPORT);
    if (!found && store.job.spec.program) return empty("A program has no report. The files that it published are below Files.");
    if (!found) return empty("No report yet. A worker makes the first one some seconds after the first epoch.");
    this.shown ??= found.crc32c;
    const path = at(`/v1/jobs/${store.id}/report`);
    return html`<section>
      <div class="tools">
        <a class="button" href=${path} target="_blank" rel="noopener">Open in a new tab</a>
        <a class="button quiet" href=${at(found.url)} download=${`${store.job.name}-report.html`}>Download</a>
        <span class="soft small">written ${ago(found.committed_at)}</span>
        ${this.shown === found.crc32c ? nothing : html`<button class="button" @click=${() => this.renew(found)}>Show the newer report</button>`}
      </div>
      <iframe class="report" sandbox="" title=${`Report of ${store.job.name}`} src=${`${path}?v=${this.shown}`}></iframe>
    </section>`;
  }

  renew(found) {
    this.shown = found.crc32c;
    this.draw();
  }
}

export const spec = ({ job }) => html`<section>
  <p class="soft">The spec as it was accepted, with its defaults. “Submit again” starts a new job with it.</p>
  <pre class="code" tabindex="0" aria-label="Spec">${JSON.stringify(job.spec, null, 2)}</pre>
</section>`;
