// Several jobs side by side: their curves, and the differences of their specs.
import { get, items, number } from "../core/api.js";
import { isShare, metric as shown, percent, percentTick, real, whole, words } from "../core/format.js";
import { drawer, html, nothing } from "../core/html.js";
import { poll } from "../core/live.js";
import { at } from "../core/root.js";
import { isClassifier, namesOf, valueOf } from "../job/metrics.js";
import { SeriesOfJobs } from "../jobs/series.js";
import { Chart } from "../parts/chart.js";
import { ENDED, badge } from "../parts/status.js";
import { empty, table } from "../parts/table.js";

const MOST = 8;
const EVERY = 5000;
const OF_CLASSIFIER = ["val_accuracy", "val_loss", "accuracy", "loss", "learning_rate"];
const BY_STEP = "step:"; // before the name of a series, which may be that of a metric too
const ID = /^[0-9a-f]{32}$/;

export function comparePage(root, { query }) {
  document.title = "Compare – Baton";
  const ids = [...new Set(query.getAll("job"))].filter((id) => ID.test(id)).slice(0, MOST);
  const state = { jobs: null, histories: new Map(), metric: null, chosen: null, series: new SeriesOfJobs(ids), error: "" };
  let chart = null;
  const draw = drawer(root, () => template(ids, state, choose), mounted);
  const asking = ids.length ? poll(load, EVERY) : null;

  async function load() {
    try {
      state.jobs = await Promise.all(ids.map((id) => get(`/v1/jobs/${id}`)));
      const rows = await Promise.all(ids.map((id) => items(`/v1/jobs/${id}/history`)));
      rows.forEach((history, k) => state.histories.set(ids[k], history));
      await state.series.load();
      show(state.chosen ?? initial(state) ?? "");
      state.error = "";
    } catch (error) {
      state.error = error.message;
      throw error;
    } finally {
      draw();
    }
    return !state.jobs.every((job) => ENDED.has(job.status));
  }

  async function loadSeries() {
    await state.series.load().catch((error) => (state.error = error.message));
    draw();
  }

  function choose(metric) {
    state.chosen = metric;
    show(metric);
    draw();
  }

  function show(metric) {
    if (metric === state.metric) return;
    state.metric = metric;
    state.series.choose(metric.startsWith(BY_STEP) ? metric.slice(BY_STEP.length) : "");
    if (state.series.shown) loadSeries();
    chart?.destroy();
    chart = null;
  }

  function mounted() {
    const host = root.querySelector("[data-plot]");
    if (!host) return;
    if (chart?.host !== host) {
      chart?.destroy();
      chart = new Chart(host, options(state));
    }
    chart.update(state.series.shown ? state.series.data() : series(ids, state));
  }

  draw();
  return () => {
    asking?.stop();
    chart?.destroy();
    draw.end();
  };
}

const options = (state) => ({ ...common(state), ...(state.series.shown ? bySteps(state.series.shown) : byEpochs(state.metric)) });

const common = ({ jobs }) => ({
  series: jobs.map((job, k) => ({ name: `${job.name} ${job.id.slice(0, 4)}`, colour: `c${k + 1}` })),
  sync: "compare",
});

const byEpochs = (metric) => ({
  label: words(metric),
  log: metric === "learning_rate",
  show: (value) => shown(metric, value),
  tick: isShare(metric) ? percentTick : real,
  across: (value) => (Number.isInteger(value) ? String(value) : ""),
  unit: "Epoch",
});

const bySteps = (name) => ({ label: name, rest: "the CSV file of each job", log: false, show: real, across: whole, unit: "Step" });

function series(ids, { histories, metric }) {
  const longest = Math.max(...ids.map((id) => histories.get(id)?.at(-1)?.epoch || 0), 0);
  const x = Array.from({ length: longest }, (_, k) => k + 1);
  const ys = ids.map((id) => {
    const values = new Map((histories.get(id) || []).map((row) => [row.epoch, valueOf(row, metric)]));
    return x.map((epoch) => (Number.isFinite(values.get(epoch)) ? values.get(epoch) : null));
  });
  return { x, ys, from: 0 };
}

function template(ids, state, choose) {
  if (ids.length < 2) return empty("Select two or more jobs in the list to compare them.");
  return html`<div class="head"><h1>Compare</h1></div>
    <p class="error" role="alert">${state.error}</p>
    ${state.jobs && state.metric !== null ? content(state, choose) : empty("Loading…")}`;
}

// The metrics of all jobs: those of a classifier first, if there is one.
function metricsOf({ jobs, histories }) {
  const all = [...histories.values()];
  const classifiers = all.some(isClassifier) || (!all.some((history) => history.length) && !jobs.every((job) => job.spec.program));
  return [...new Set([...(classifiers ? OF_CLASSIFIER : []), ...all.flatMap(namesOf).sort()])];
}

// The metric by which the first job is judged, if it has one. Programs may have only series, or nothing yet.
function initial(state) {
  const names = metricsOf(state);
  const best = state.jobs.map((job) => job.best?.metric).find((name) => names.includes(name));
  const [first] = state.series.names;
  return best ?? names[0] ?? (first && `${BY_STEP}${first}`);
}

const content = (state, choose) => html`${state.metric ? curve(state, choose) : empty("No curve yet: no job has recorded a metric.")}
  <h2>Results</h2>
  ${table("Results", ["What", ...state.jobs.map(title)], results(state.jobs))}
  <h2>Where the specs differ</h2>
  ${differences(state.jobs)}`;

const curve = (state, choose) => html`<div class="tools"><label>Curve <select @change=${(event) => choose(event.target.value)}>
    ${metricsOf(state).map((one) => option(one, words(one), state.metric))}
    ${seriesOptions(state)}</select></label></div>
  <figure class="card"><div class="plot" data-plot=${state.metric}></div></figure>`;

const seriesOptions = ({ series: { names }, metric }) =>
  names.length ? html`<optgroup label="By step">${names.map((name) => option(`${BY_STEP}${name}`, name, metric))}</optgroup>` : nothing;

const option = (value, text, chosen) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`;

const title = (job, k) => html`<span class="swatch" data-colour=${k + 1}></span><a href=${at(`/jobs/${job.id}`)}>${job.name}</a> <span class="id">${job.id.slice(0, 8)}</span>`;

function results(jobs) {
  const names = [...new Set(jobs.flatMap((job) => Object.keys(job.results)))];
  const line = (name, cells) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`;
  return [
    line("status", jobs.map((job) => badge(job.status))),
    line("best", jobs.map((job) => (job.best ? `${job.spec.program ? `${words(job.best.metric)} ` : ""}${shown(job.best.metric, number(job.best.value))} (epoch ${job.best.epoch})` : "–"))),
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
