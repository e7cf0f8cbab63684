// The live list of jobs, with filters and pages.
import { get, items } from "../core/api.js";
import { ago, between, metric as shown, moment, percent, plural, short, words } from "../core/format.js";
import { drawer, html, live, nothing, repeat } from "../core/html.js";
import { poll } from "../core/live.js";
import { at } from "../core/root.js";
import { go, replace } from "../core/router.js";
import { number } from "../core/api.js";
import { bar, run } from "../jobs/bulk.js";
import { progressBar } from "../parts/progress.js";
import { sparkline } from "../parts/sparkline.js";
import { silence, silentFor } from "../parts/silence.js";
import { STATUSES, badge, labels } from "../parts/status.js";
import { empty } from "../parts/table.js";

const PAGE = 25;
const FILTERS = ["status", "label", "name", "owner", "project", "sort"];
const OF_CLASSIFIER = ["val_accuracy", "val_loss", "accuracy", "loss", "learning_rate"];
const METRIC = /^[A-Za-z_][A-Za-z0-9_./-]{0,99}$/;
const NAME = /^[A-Za-z0-9._\-]{1,99}\*?$/; // escaped as the attribute `pattern` needs it
const ONLY_PROJECT = "default"; // a single user has no other, and sees nothing of projects
const SORTS = { "-created": "newest", created: "oldest", name: "A to Z", status: "by state", "-ended": "last ended" };
const LIVELY = 2500;
const PARTS = 5; // requests for one page: a part that the service has searched may have few jobs

export function jobsPage(root, { query, may }) {
  document.title = "Jobs – Baton";
  const state = {
    status: STATUSES.includes(query.get("status")) ? query.get("status") : "",
    label: query.get("label") || "",
    name: NAME.test(query.get("name") || "") ? query.get("name") : "",
    owner: query.get("owner") || "",
    project: query.get("project") || "",
    sort: query.get("sort") in SORTS ? query.get("sort") : "",
    metric: METRIC.test(query.get("metric") || "") ? query.get("metric") : "", // empty: it depends on the jobs of the page
    cursors: [""],
    jobs: null,
    next: null,
    curves: new Map(),
    drawn: new Map(),
    chosen: new Set(),
    every: false, // all jobs that match the filters are selected, on whatever page
    said: "",
    error: "",
  };
  const draw = drawer(root, () => template(state, may, actions));
  let turn = 0;
  let asking = null;

  function start() {
    asking?.stop();
    turn += 1;
    draw();
    const mine = turn;
    return poll(() => load(mine), LIVELY);
  }

  async function load(mine) {
    try {
      const { jobs, next } = await pageOf(state);
      if (mine !== turn) return false;
      Object.assign(state, { jobs, next, error: "" });
      draw();
      await loadCurves(mine);
    } catch (error) {
      if (mine === turn) state.error = error.message;
      draw();
      throw error;
    }
    return true;
  }

  // Loads only the curves of jobs with a new epoch since they were drawn.
  async function loadCurves(mine) {
    const metric = metricOf(state);
    const key = (job) => `${metric} ${job.best?.epoch} ${JSON.stringify(job.metrics)}`;
    const stale = state.jobs.filter((job) => Object.keys(job.metrics).length && state.drawn.get(job.id) !== key(job));
    if (!stale.length) return;
    const found = await items(`/v1/curves?metric=${encodeURIComponent(metric)}&${stale.map((job) => `job=${job.id}`).join("&")}`);
    if (mine !== turn) return;
    for (const curve of found) state.curves.set(curve.job_id, curve.points);
    for (const job of stale) state.drawn.set(job.id, key(job));
    draw();
  }

  const actions = {
    filter(changes) {
      Object.assign(state, changes, { cursors: [""], jobs: null, every: false });
      const kept = new URLSearchParams();
      for (const name of FILTERS) if (state[name]) kept.set(name, state[name]);
      if (state.metric) kept.set("metric", state.metric);
      replace(`/${kept.size ? `?${kept}` : ""}`);
      asking = start();
    },
    metric(name) {
      state.curves.clear();
      state.drawn.clear();
      actions.filter({ metric: name });
    },
    older() {
      state.cursors.push(state.next);
      asking = start();
    },
    newer() {
      state.cursors.pop();
      asking = start();
    },
    choose(id, chosen) {
      if (chosen) state.chosen.add(id);
      else state.chosen.delete(id);
      Object.assign(state, { every: false, said: "" });
      draw();
    },
    page(chosen) {
      for (const job of state.jobs) actions.choose(job.id, chosen);
    },
    every(every) {
      Object.assign(state, { every, said: "" });
      draw();
    },
    clear() {
      state.chosen.clear();
      actions.every(false);
    },
    async bulk(name) {
      try {
        const said = await run(name, state);
        if (said === null) return;
        actions.clear();
        state.said = said;
        if (name === "delete") state.cursors = [""];
        asking = start();
      } catch (problem) {
        state.error = problem.message;
        draw();
      }
    },
    compare: () => go(`/compare?${[...state.chosen].map((id) => `job=${id}`).join("&")}`),
  };

  asking = start();
  return () => {
    asking.stop();
    draw.end();
  };
}

// The metrics that the list can show: those of a classifier, and those of the jobs on the page.
function metricsOf({ jobs, metric }) {
  const others = (jobs || []).flatMap((job) => Object.keys(job.metrics)).sort();
  return [...new Set([...OF_CLASSIFIER, ...others, ...(metric ? [metric] : [])])];
}

// The chosen metric. Otherwise that of a classifier, unless no job on the page has it.
function metricOf({ jobs, metric }) {
  if (metric) return metric;
  const known = (jobs || []).filter((job) => Object.keys(job.metrics).length);
  if (!known.length || known.some((job) => OF_CLASSIFIER[0] in job.metrics)) return OF_CLASSIFIER[0];
  return known.find((job) => job.best)?.best.metric ?? Object.keys(known[0].metrics)[0];
}

async function pageOf(state) {
  const jobs = [];
  let next = state.cursors.at(-1);
  for (let part = 0; part < PARTS && jobs.length < PAGE && (part === 0 || next); part += 1) {
    const asked = new URLSearchParams({ limit: PAGE - jobs.length, view: "summary" });
    for (const name of FILTERS) if (state[name]) asked.set(name, state[name]);
    if (next) asked.set("cursor", next);
    const page = await get(`/v1/jobs?${asked}`);
    jobs.push(...page.items);
    next = page.next_cursor;
  }
  return { jobs, next };
}

function template(state, may, actions) {
  return html`<div class="head">
      <h1>Jobs</h1>
      <div class="actions"><button class="button" ?hidden=${state.chosen.size < 2} @click=${actions.compare}>Compare ${state.chosen.size}</button>
        ${may("submit") ? html`<a class="button primary" href=${at("/submit")}>New job</a>` : nothing}</div>
    </div>
    ${filters(state, actions)} ${may("submit") ? bar(state, actions) : nothing}
    <p class="error" role="alert">${state.error}</p>
    ${state.jobs ? list(state, actions) : html`<p class="empty" role="status">${state.error ? "" : "Loading…"}</p>`} ${pages(state, actions)}`;
}

// The URL and the service have key:value. Neither a key nor a value has a ":" or "=".
const labelOf = (text) => text.trim().replace("=", ":");

function filters(state, actions) {
  const apply = (event) => {
    event.preventDefault();
    const values = new FormData(event.target);
    const given = Object.fromEntries(["owner", "project"].filter((name) => values.has(name)).map((name) => [name, values.get(name).trim()]));
    actions.filter({ label: labelOf(values.get("label")), name: values.get("name"), ...given });
  };
  return html`<form class="filters" role="search" aria-label="Jobs" @submit=${apply}>
    <label>Status
      <select name="status" @change=${(event) => actions.filter({ status: event.target.value })}>
        <option value="" ?selected=${!state.status}>all</option>
        ${STATUSES.map((one) => html`<option ?selected=${state.status === one}>${one}</option>`)}
      </select></label>
    <label>Label
      <input name="label" placeholder="key=value" .value=${state.label.replace(":", "=")} pattern="[^:=]+[:=].*" title="key=value" @change=${(event) => event.target.reportValidity() && actions.filter({ label: labelOf(event.target.value) })} /></label>
    <label>Name
      <input name="name" placeholder="resnet-*" .value=${state.name} pattern=${NAME.source} title="A name, or the beginning of names and a *" @change=${(event) => event.target.reportValidity() && actions.filter({ name: event.target.value })} /></label>
    ${shared(state) ? [["Project", "project"], ["Owner", "owner"]].map(([text, name]) => html`<label>${text}
      <input name=${name} .value=${state[name]} maxlength="63" @change=${(event) => actions.filter({ [name]: event.target.value.trim() })} /></label>`) : nothing}
    <label>Order
      <select name="sort" @change=${(event) => actions.filter({ sort: event.target.value })}>
        ${Object.entries(SORTS).map(([key, text]) => html`<option value=${key} ?selected=${(state.sort || "-created") === key}>${text}</option>`)}
      </select></label>
    <label>Curve
      <select name="metric" @change=${(event) => actions.metric(event.target.value)}>
        ${metricsOf(state).map((one) => html`<option value=${one} ?selected=${metricOf(state) === one}>${words(one)}</option>`)}
      </select></label>
    ${filtered(state) ? html`<button type="button" class="button quiet" @click=${() => actions.filter({ status: "", label: "", name: "", owner: "", project: "" })}>Clear</button>` : nothing}
  </form>`;
}

const filtered = (state) => Boolean(state.status || state.label || state.name || state.owner || state.project);

// Whether several teams use the service.
const shared = (state) => Boolean(state.owner || state.project || state.jobs?.some((job) => job.project !== ONLY_PROJECT));

function list(state, actions) {
  if (!state.jobs.length) return empty(filtered(state) ? "No job matches the filters." : "No job yet. Submit one with “New job”, or with the command line: baton submit digits-demo");
  const columns = ["Job", "Status", "Progress", words(metricOf(state)), "Best", "Goodput", "Worker", "Submitted"];
  return html`<table class="jobs">
    <thead><tr><th scope="col"><span class="hidden">Select</span></th>${columns.map((one) => html`<th scope="col">${one}</th>`)}</tr></thead>
    <tbody>${repeat(state.jobs, (job) => job.id, (job) => row(job, state, actions))}</tbody>
  </table>`;
}

function row(job, state, actions) {
  const best = job.best ? shown(job.best.metric, number(job.best.value)) : "–";
  return html`<tr data-job=${job.id}>
    <td class="choose"><input type="checkbox" aria-label=${`Select ${job.name}`} .checked=${live(state.every || state.chosen.has(job.id))} @change=${(event) => actions.choose(job.id, event.target.checked)} /></td>
    <th scope="row"><a class="name" href=${at(`/jobs/${job.id}`)}>${job.name}</a><span class="id">${job.id.slice(0, 8)}</span>
      ${shared(state) ? html`<span class="role" title=${`Project ${job.project}, submitted by ${job.owner ?? "an unknown token"}`}>${job.project}${job.owner ? `, ${job.owner}` : ""}</span>` : nothing}
      ${Object.keys(job.labels).length ? html`<span class="labels">${labels(job.labels)}</span>` : nothing}</th>
    <td data-label="Status">${badge(job.status)}${because(job)}</td>
    <td data-label="Progress" class="progress">${progressBar(job)}</td>
    <td data-label=${words(metricOf(state))}>${sparkline(state.curves.get(job.id), metricOf(state))}</td>
    <td data-label="Best" class="n" title=${job.best ? `${words(job.best.metric)} in epoch ${job.best.epoch}` : ""}>${best}</td>
    <td data-label="Goodput" class="n">${job.started_at ? percent(job.goodput.goodput, 0) : "–"}<small>${job.preemptions ? plural(job.preemptions, "interruption") : ""}</small></td>
    <td data-label="Worker">${job.worker || "–"}</td>
    <td data-label="Submitted" class="times" title=${moment(job.created_at)}>${ago(job.created_at)}<small>${took(job)}</small></td>
  </tr>`;
}

function because(job) {
  const silent = silentFor(job);
  if (silent !== null) return html`<small class="because alarming" title=${silence(job)}>silent for ${short(silent)}</small>`;
  const text = job.waiting_for || (job.status === "failed" && job.reason ? words(job.reason) : "");
  return text ? html`<small class="because" title=${job.message || text}>${text}</small>` : nothing;
}

const took = (job) => (job.started_at ? `${job.finished_at ? "took" : "for"} ${short(between(job.created_at, job.finished_at))}` : "");

function pages(state, actions) {
  if (state.cursors.length === 1 && !state.next) return nothing;
  return html`<nav class="pages" aria-label="Pages">
    <button class="button" ?disabled=${state.cursors.length === 1} @click=${actions.newer}>Newer</button>
    <span>Page ${state.cursors.length}</span>
    <button class="button" ?disabled=${!state.next} @click=${actions.older}>Older</button>
  </nav>`;
}
