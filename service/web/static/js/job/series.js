// The series of a job: metrics by step, and the system metrics of its workers. The user chooses which are shown.
import { get, items, number, request } from "../core/api.js";
import { duration, real, whole } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { poll } from "../core/live.js";
import { Chart } from "../parts/chart.js";
import { ENDED } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const EVERY = 5000;
const POINTS = 400;
const FIRST = 4; // charts that are shown before the user chooses
const AT_ONCE = 20; // names in one request
const SEARCHED = 12; // from this number of series on, a field filters the names
const SYSTEM = "system/";
const AXES = { step: "Steps", time: "Time" };
const COLUMNS = ["Series", "Points", "First step", "Last step", "Last", "Least", "Greatest"].map((title, k) => ({ title, number: k > 0 }));
const UNITS = { cpu: "%", memory: "%", disk: "%", temperature: "°C", power: "W" };

export const isSystem = (name) => name.startsWith(SYSTEM);

export class Series {
  constructor(id, draw) {
    Object.assign(this, { id, draw, all: null, chosen: null, points: new Map(), axis: "step", log: new Set(), part: "", error: "" });
    this.charts = new Map();
    this.asking = null;
  }

  // From now on the series are shown: load them now, and while the job runs.
  begin(store) {
    this.store = store;
    this.asking ??= poll(() => this.load(), EVERY);
  }

  async load() {
    try {
      const found = await items(`/v1/jobs/${this.id}/series`);
      this.all = [...found.filter((one) => !isSystem(one.name)), ...found.filter((one) => isSystem(one.name))];
      this.chosen ??= firstChoice(this.all);
      await this.loadPoints([...this.chosen]);
      this.error = "";
    } catch (error) {
      this.error = error.message;
      throw error;
    } finally {
      this.draw();
    }
    return !this.store.job || !ENDED.has(this.store.job.status);
  }

  async loadPoints(wanted) {
    const names = wanted.filter((name) => this.all.some((one) => one.name === name));
    for (let k = 0; k < names.length; k += AT_ONCE) {
      const query = names.slice(k, k + AT_ONCE).map((name) => `name=${encodeURIComponent(name)}`).join("&");
      const found = await get(`/v1/jobs/${this.id}/series?points=${POINTS}&${query}`);
      for (const one of found.items) this.points.set(one.name, one.points);
    }
  }

  async choose(name, shown) {
    if (shown) this.chosen.add(name);
    else this.chosen.delete(name);
    this.draw();
    if (shown && !this.points.has(name)) {
      await this.loadPoints([name]).catch((error) => (this.error = error.message));
      this.draw();
    }
  }

  template(store) {
    this.begin(store);
    if (!this.all) return this.error ? html`<p class="error" role="alert">${this.error}</p>` : empty("Loading…");
    if (!this.all.length) return empty("No series yet. A worker sends the first system metrics after 30 s.");
    const shown = this.all.filter((one) => this.chosen.has(one.name));
    return html`<section aria-label="Series">
      <p class="error" role="alert">${this.error}</p>
      ${this.chooser()}
      <div class="tools">
        <fieldset class="segments"><legend class="hidden">Along</legend>
          ${Object.entries(AXES).map(([name, title]) => html`<label><input type="radio" name="axis" value=${name} .checked=${this.axis === name} @change=${() => this.along(name)} />${title}</label>`)}
        </fieldset>
        <button class="button" @click=${() => this.download()}>Download all as CSV</button>
      </div>
      ${shown.length ? html`<div class="charts">${shown.map((one) => this.card(one))}</div>` : empty("Choose a series.")}
      ${shown.length ? table("Chosen series", COLUMNS, shown.map(row)) : nothing}
    </section>`;
  }

  chooser() {
    const found = this.all.filter((one) => one.name.toLowerCase().includes(this.part.toLowerCase()));
    return html`<fieldset class="chooser"><legend>Series <span class="soft">${this.chosen.size} of ${this.all.length} shown</span></legend>
      ${this.all.length < SEARCHED ? nothing : html`<input type="search" placeholder="Filter names" aria-label="Filter names" .value=${this.part} @input=${(event) => this.filter(event.target.value)} />`}
      <div class="choices">${found.map((one) => html`<label><input type="checkbox" .checked=${this.chosen.has(one.name)} @change=${(event) => this.choose(one.name, event.target.checked)} />${one.name}</label>`)}
        ${found.length ? nothing : html`<span class="soft">No name has this text.</span>`}</div>
    </fieldset>`;
  }

  card(one) {
    return html`<figure class="card">
      <figcaption><h2>${one.name}${unit(one.name) ? html` <span class="soft">${unit(one.name)}</span>` : nothing}</h2>
        <label class="small"><input type="checkbox" .checked=${this.log.has(one.name)} @change=${(event) => this.scale(one.name, event.target.checked)} />log scale</label></figcaption>
      <div class="plot" data-series=${one.name}></div>
    </figure>`;
  }

  filter(part) {
    this.part = part;
    this.draw();
  }

  along(axis) {
    this.axis = axis;
    this.endCharts();
    this.draw();
  }

  scale(name, log) {
    if (log) this.log.add(name);
    else this.log.delete(name);
    this.draw();
  }

  // Called after each drawing, because the template creates the nodes of the charts.
  show(root) {
    const hosts = [...root.querySelectorAll("[data-series]")];
    for (const [name, chart] of this.charts) {
      if (!hosts.some((host) => host === chart.host && host.dataset.series === name)) {
        chart.destroy();
        this.charts.delete(name);
      }
    }
    for (const host of hosts) this.showOne(host, host.dataset.series);
  }

  showOne(host, name) {
    const points = this.points.get(name);
    if (!points) return;
    const inTime = this.axis === "time" || isSystem(name);
    if (!this.charts.has(name)) {
      const line = { name: last(name), colour: "accent", width: 1.5 };
      const across = inTime ? { across: duration, unit: "Time" } : { across: whole, unit: "Step" };
      this.charts.set(name, new Chart(host, { label: name, rest: "the CSV file", series: [line], show: real, ...across, sync: `${this.id} ${across.unit}` }));
    }
    const log = this.log.has(name);
    const begun = Date.parse(this.store.job.created_at) / 1000;
    const sorted = inTime ? points.toSorted((a, b) => a[2] - b[2]) : points;
    const x = sorted.map(([step, , at]) => (inTime ? at - begun : step));
    const ys = [sorted.map(([, value]) => finite(number(value), log))];
    const marks = inTime ? marksOf(this.store, begun) : [];
    this.charts.get(name).update({ x, ys, marks, ...(inTime ? {} : { from: 0 }) }, log);
  }

  async download() {
    const answer = await request("GET", `/v1/jobs/${this.id}/series`, { headers: { Accept: "text/csv" } });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${this.store.job.name}-series.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  endCharts() {
    for (const chart of this.charts.values()) chart.destroy();
    this.charts.clear();
  }

  end() {
    this.asking?.stop();
    this.asking = null;
    this.endCharts();
  }
}

function firstChoice(all) {
  const own = all.filter((one) => !isSystem(one.name));
  return new Set((own.length ? own : all).slice(0, FIRST).map((one) => one.name));
}

const last = (name) => name.split("/").at(-1);
const unit = (name) => (isSystem(name) ? UNITS[last(name).replace(/^gpu\d+_/, "")] || "%" : "");
const finite = (value, log) => (Number.isFinite(value) && (!log || value > 0) ? value : null);

const marksOf = ({ attempts }, begun) =>
  attempts.filter((one) => one.finished_at && one.state !== "succeeded").map((one) => ({ at: Date.parse(one.finished_at) / 1000 - begun, kind: one.state }));

const step = (one, value) => (isSystem(one.name) ? "–" : whole(value));
const row = (one) => html`<tr>
  <th scope="row">${one.name}</th><td class="n">${whole(one.count)}</td>
  <td class="n">${step(one, one.first_step)}</td><td class="n">${step(one, one.last_step)}</td>
  <td class="n">${real(number(one.last))}</td><td class="n">${real(number(one.minimum))}</td><td class="n">${real(number(one.maximum))}</td>
</tr>`;
