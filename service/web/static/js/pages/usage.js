// What was used and what it cost, as bars.
import { get, items } from "../core/api.js";
import { bytes, hours, money, percent, whole } from "../core/format.js";
import { drawer, html, nothing, repeat, svg } from "../core/html.js";
import { poll } from "../core/live.js";
import { at } from "../core/root.js";
import { replace } from "../core/router.js";
import { empty, table } from "../parts/table.js";

const EVERY = 15_000;
const BY = ["project", "owner", "job", "device", "month", "day"];
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const PARTS = [["trained", "trained", "training"], ["redone", "redone", "redone"], ["other", "other time", "other"]];

export function usagePage(root, { query }) {
  document.title = "Usage – Baton";
  const day = (name) => (DAY.test(query.get(name) || "") ? query.get(name) : "");
  const state = { by: BY.includes(query.get("by")) ? query.get("by") : "project", since: day("since"), until: day("until"), view: null, projects: [], error: "" };
  const draw = drawer(root, () => template(state, choose));
  let turn = 0;
  let asking = start();

  function start() {
    turn += 1;
    const mine = turn;
    return poll(async () => {
      try {
        const [view, projects] = await Promise.all([get(`/v1/usage?${search(state)}`), items("/v1/projects")]);
        if (mine !== turn) return false;
        Object.assign(state, { view, projects, error: "" });
      } catch (error) {
        if (mine === turn) state.error = error.message;
        throw error;
      } finally {
        draw();
      }
      return true;
    }, EVERY);
  }

  function choose(changes) {
    asking.stop();
    Object.assign(state, changes);
    replace(`/usage?${search(state)}`);
    asking = start();
    draw();
  }

  return () => {
    asking.stop();
    draw.end();
  };
}

function search({ by, since, until }) {
  const kept = new URLSearchParams({ by });
  if (since) kept.set("since", since);
  if (until) kept.set("until", until);
  return kept;
}

function template(state, choose) {
  const { view, error } = state;
  return html`<div class="head"><h1>Usage</h1><p class="soft" role="status">${view ? summary(view) : "Loading…"}</p></div>
    <form class="filters" @submit=${(event) => event.preventDefault()}>
      <label>By <select name="by" @change=${(event) => choose({ by: event.target.value, view: null })}>
        ${BY.map((one) => html`<option value=${one} ?selected=${one === state.by}>${one}</option>`)}</select></label>
      ${field("From", "since", state, choose)} ${field("To", "until", state, choose)}
    </form>
    <p class="error" role="alert">${error}</p>
    ${!view ? "" : view.items.length ? bars(view) : empty("Nothing was used in this time.")} ${quotas(state.projects)}`;
}

const QUOTAS = [["Attempts", "attempts", whole], ["Queued jobs", "queued", whole], ["Data", "data_bytes", bytes], ["Code", "code_bytes", bytes]];

// What projects use of their quotas. A single project without quotas has nothing to show.
function quotas(projects) {
  const limited = (one) => Object.values(one.quotas).some((quota) => quota !== null);
  if (projects.length < 2 && !projects.some(limited)) return nothing;
  const cell = (one, name, text) => {
    const quota = one.quotas[`max_${name}`];
    const full = quota !== null && one.use[name] >= quota;
    return html`<td class=${full ? "n alarming" : "n"}>${text(one.use[name])}${quota === null ? nothing : html` <small>of ${text(quota)}</small>`}</td>`;
  };
  const rows = projects.map((one) => html`<tr data-project=${one.name}><th scope="row">${one.name}</th>${QUOTAS.map(([, name, text]) => cell(one, name, text))}</tr>`);
  return html`<section aria-labelledby="quotas"><h2 id="quotas">Projects now</h2>
    ${table("Projects now", ["Project", ...QUOTAS.map(([title]) => ({ title, number: true }))], rows)}</section>`;
}

const field = (text, name, state, choose) => html`<label>${text} <input type="date" name=${name} .value=${state[name]}
  @change=${(event) => choose({ [name]: event.target.value, view: null })}></label>`;

function summary({ total, since, until, currency }) {
  const cost = total.cost === null ? "" : `, ${money(total.cost, currency)}`;
  return `${since} to ${until} (UTC): ${hours(total.hours)} h, ${hours(total.gpu_hours)} GPU hours${cost}`;
}

function bars(view) {
  const greatest = Math.max(...view.items.map((one) => size(one)), 0);
  return html`${key()}
    <ul class="bars" aria-label=${`Usage by ${view.by}`}>${repeat(view.items, (one) => one.key, (one) => bar(one, view, greatest))}</ul>
    ${view.left_out ? html`<p class="soft">${whole(view.left_out)} more are in the total.</p>` : nothing}`;
}

const key = () => html`<ul class="buckets">${PARTS.map(([, text, bucket]) => html`<li><svg width="10" height="10" aria-hidden="true"><rect class=${`bucket-${bucket}`} width="10" height="10" rx="2" /></svg> <span>${text}</span></li>`)}</ul>`;

function bar(one, { by, currency }, greatest) {
  const shares = split(one);
  const long = greatest ? (100 * size(one)) / greatest : 0;
  let from = 0;
  const parts = PARTS.map(([name, text, bucket]) => {
    const part = { bucket, text: `${text}: ${percent(shares[name])}`, from: (from * long).toFixed(3), width: (shares[name] * long).toFixed(3) };
    from += shares[name];
    return part;
  });
  return html`<li data-key=${one.key}>
    <div class="line"><b>${label(one, by)}</b> <span>${hours(one.hours)} h${one.gpu_hours ? `, ${hours(one.gpu_hours)} GPU hours` : ""}${one.cost === null ? "" : html`, <b>${money(one.cost, currency)}</b>`}</span></div>
    <svg class="stack" role="img" height="14" aria-label=${parts.map((part) => part.text).join(", ")}>
      ${parts.map((part) => svg`<rect class=${`bucket-${part.bucket}`} x=${`${part.from}%`} width=${`${part.width}%`} height="14"><title>${part.text}</title></rect>`)}
    </svg>
  </li>`;
}

// The job may be deleted: then its page says so.
const label = (one, by) => (by === "job" ? html`<a href=${at(`/jobs/${one.key}`)}>${one.name || one.key.slice(0, 8)}</a>` : one.key || "(unknown)");

const size = (one) => (one.cost === null ? one.hours : Number(one.cost));

// Shares of the time, so that a bar shows them also without prices.
function split({ hours: all, trained_hours: trained, redone_hours: redone }) {
  if (!all) return { trained: 0, redone: 0, other: 0 };
  return { trained: trained / all, redone: redone / all, other: Math.max(0, 1 - (trained + redone) / all) };
}
