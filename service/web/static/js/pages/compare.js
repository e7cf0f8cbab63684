// Several jobs side by side: their curves, and the differences of their specs.
import { get, items, number } from "../core/api.js";
import { metric as shown, percent, percentTick, real, words } from "../core/format.js";
import { drawer, html, nothing } from "../core/html.js";
import { poll } from "../core/live.js";
import { Chart } from "../parts/chart.js";
import { ENDED, badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const MOST = 8;
const EVERY = 5000;
const METRICS = ["val_accuracy", "val_loss", "accuracy", "loss", "learning_rate"];
const ID = /^[0-9a-f]{32}$/;

export function comparePage(root, { query }) {
  document.title = "Compare – Baton";
  const ids = [...new Set(query.getAll("job"))].filter((id) => ID.test(id)).slice(0, MOST);
  const state = { jobs: null, histories: new Map(), metric: METRICS[0], error: "" };
  let chart = null;
  const draw = drawer(root, () => template(ids, state, choose), mounted);
  const asking = ids.length ? poll(load, EVERY) : null;

  async function load() {
    try {
      state.jobs = await Promise.all(ids.map((id) => get(`/v1/jobs/${id}`)));
      const rows = await Promise.all(ids.map((id) => items(`/v1/jobs/${id}/history`)));
      rows.forEach((history, k) => state.histories.set(ids[k], history));
      state.error = "";
    } catch (error) {
      state.error = error.message;
      throw error;
    } finally {
      draw();
    }
    return !state.jobs.every((job) => ENDED.has(job.status));
  }

  function choose(metric) {
    state.metric = metric;
    chart?.destroy();
    chart = null;
    draw();
  }

  function mounted() {
    const host = root.querySelector("[data-plot]");
    if (!host || !state.jobs) return;
    if (chart?.host !== host) {
      chart?.destroy();
      chart = new Chart(host, options(state));
    }
    chart.update(series(ids, state));
  }

  draw();
  return () => {
    asking?.stop();
    chart?.destroy();
    draw.end();
  };
}

const options = ({ jobs, metric }) => ({
  label: words(metric),
  series: jobs.map((job, k) => ({ name: `${job.name} ${job.id.slice(0, 4)}`, colour: `c${k + 1}` })),
  log: metric === "learning_rate",
  show: (value) => shown(metric, value),
  tick: metric.endsWith("accuracy") ? percentTick : real,
  across: (value) => (Number.isInteger(value) ? String(value) : ""),
  unit: "Epoch",
  sync: "compare",
});

function series(ids, { histories, metric }) {
  const longest = Math.max(...ids.map((id) => histories.get(id)?.at(-1)?.epoch || 0), 0);
  const x = Array.from({ length: longest }, (_, k) => k + 1);
  const ys = ids.map((id) => {
    const values = new Map((histories.get(id) || []).map((row) => [row.epoch, number(row[metric])]));
    return x.map((epoch) => (Number.isFinite(values.get(epoch)) ? values.get(epoch) : null));
  });
  return { x, ys, from: 0 };
}

function template(ids, state, choose) {
  if (ids.length < 2) return empty("Select two or more jobs in the list to compare them.");
  return html`<div class="head"><h1>Compare</h1></div>
    <p class="error" role="alert">${state.error}</p>
    ${state.jobs ? content(state, choose) : empty("Loading…")}`;
}

const content = ({ jobs, metric }, choose) => html`<div class="tools"><label>Curve <select @change=${(event) => choose(event.target.value)}>
    ${METRICS.map((one) => html`<option value=${one} ?selected=${one === metric}>${words(one)}</option>`)}</select></label></div>
  <figure class="card"><div class="plot" data-plot=${metric}></div></figure>
  <h2>Results</h2>
  ${table("Results", ["What", ...jobs.map(title)], results(jobs))}
  <h2>Where the specs differ</h2>
  ${differences(jobs)}`;

const title = (job, k) => html`<span class="swatch" data-colour=${k + 1}></span><a href=${`/jobs/${job.id}`}>${job.name}</a> <span class="id">${job.id.slice(0, 8)}</span>`;

function results(jobs) {
  const names = [...new Set(jobs.flatMap((job) => Object.keys(job.results)))];
  const line = (name, cells) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`;
  return [
    line("status", jobs.map((job) => badge(job.status))),
    line("best", jobs.map((job) => (job.best ? `${shown(job.best.metric, number(job.best.value))} (epoch ${job.best.epoch})` : "–"))),
    line("goodput", jobs.map((job) => percent(job.goodput.goodput))),
    line("interrupted", jobs.map((job) => job.preemptions)),
    ...names.map((name) => line(words(name), jobs.map((job) => (name in job.results ? shown(name, number(job.results[name])) : "–")))),
  ];
}

function differences(jobs) {
  const flat = jobs.map((job) => flattened(job.spec));
  const paths = [...new Set(flat.flatMap((one) => [...one.keys()]))].filter((path) => path !== "name" && new Set(flat.map((one) => one.get(path))).size > 1);
  if (!paths.length) return html`<p class="soft">Only in their names.</p>`;
  return table("Differences", ["Field", ...jobs.map(title)], paths.map((path) => html`<tr><th scope="row"><code>${path}</code></th>${flat.map((one) => html`<td>${one.get(path) ?? nothing}</td>`)}</tr>`));
}

function flattened(value, path = "", into = new Map()) {
  if (value !== null && typeof value === "object") {
    for (const [name, below] of Object.entries(value)) flattened(below, path ? `${path}.${name}` : name, into);
  } else into.set(path, JSON.stringify(value));
  return into;
}
