// A new job, from a plan with changes or from the user's own spec.
import { drawKey, get, items, request } from "../core/api.js";
import { drawer, html, live, nothing } from "../core/html.js";
import { go, replace } from "../core/router.js";
import { empty } from "../parts/table.js";
import { changes, placed, sections } from "../submit/fields.js";
import { planForm, problem } from "../submit/form.js";
import { preview } from "../submit/preview.js";

const FIRST = "digits-demo";
const HINT = "name: mine\nnetwork: {name: network-2, width: 0.1}\ndataset: {name: digits}\nstages:\n  - {image_size: 16, batch_size: 32, epochs: 5}\n";

export function submitPage(root, { query, may }) {
  document.title = "New job – Baton";
  const own = query.has("from") || query.get("of") === "spec";
  const state = { own, plans: null, plan: null, text: HINT, values: new Map(), rows: [], errors: new Map(), view: null };
  Object.assign(state, { busy: false, stale: false, sending: false, failure: "", key: drawKey(), sent: "" });
  const draw = drawer(root, () => (may("submit") ? template(state, actions) : empty("The token of this session may not submit jobs.")));
  let turn = 0;

  async function load() {
    try {
      state.plans = await items("/v1/plans");
      if (query.has("from")) state.text = JSON.stringify((await get(`/v1/jobs/${query.get("from")}`)).spec, null, 2);
      choose(query.get("plan") || FIRST);
    } catch (error) {
      state.failure = error.message;
      draw();
    }
  }

  function choose(name) {
    state.plan = state.plans.find((one) => one.name === name) || state.plans[0];
    Object.assign(state, { values: new Map(), rows: [], errors: new Map() });
    look();
  }

  function body() {
    if (!state.own) return { body: JSON.stringify({ plan: state.plan.name, set: changes(state.plan, state.values, state.rows) }), type: "application/json" };
    return { body: state.text, type: state.text.trimStart().startsWith("{") ? "application/json" : "application/yaml" };
  }

  const paths = () => (state.own ? [] : [...sections(state.plan).flatMap((one) => one.fields.map((field) => field.path)), ...state.rows.map((row) => row.path.trim()).filter(Boolean)]);

  async function look() {
    const mine = (turn += 1);
    Object.assign(state, { busy: true, failure: "" });
    draw();
    try {
      const view = await (await request("POST", "/v1/plans:preview", body())).json();
      if (mine === turn) Object.assign(state, { view, stale: view.missing.length > 0, errors: placed(view.missing, paths()) });
    } catch (error) {
      if (mine === turn) refused(error);
    }
    if (mine === turn) state.busy = false;
    draw();
  }

  function refused(error) {
    Object.assign(state, { stale: true, view: null, errors: placed(error.errors || [], paths()) });
    if (!error.errors?.length) state.failure = error.message;
  }

  async function submit(event) {
    event.preventDefault();
    const asked = body();
    // The same body keeps its idempotency key, so a second click creates no second job. A changed body gets a new key.
    if (state.sent && state.sent !== asked.body) state.key = drawKey();
    Object.assign(state, { sending: true, failure: "", sent: asked.body });
    draw();
    try {
      const answer = await request("POST", "/v1/jobs", { ...asked, headers: { "Idempotency-Key": state.key } });
      go(`/jobs/${(await answer.json()).id}`);
    } catch (error) {
      state.sending = false;
      turn += 1;
      refused(error);
      draw();
      queueMicrotask(() => root.querySelector('[aria-invalid="true"]')?.focus());
    }
  }

  const actions = {
    submit,
    look,
    choose,
    turnTo(own) {
      Object.assign(state, { own, errors: new Map(), view: null, stale: false });
      replace(own ? "/submit?of=spec" : "/submit");
      look();
    },
    type(path, text) {
      state.values.set(path, text);
    },
    write(text) {
      state.text = text;
    },
    add() {
      state.rows.push({ path: "", value: "" });
      draw();
    },
    edit(k, change) {
      Object.assign(state.rows[k], change);
    },
    remove(k) {
      state.rows.splice(k, 1);
      look();
    },
  };

  draw();
  if (may("submit")) load();
  return draw.end;
}

function template(state, actions) {
  if (!state.plans) return html`<p class="empty" role="status">${state.failure || "Loading…"}</p>`;
  const way = (own, title) => html`<label><input type="radio" name="way" .checked=${live(state.own === own)} @change=${() => actions.turnTo(own)} />${title}</label>`;
  return html`<div class="head"><h1>New job</h1>
      <fieldset class="segments"><legend class="hidden">From</legend>${way(false, "From a plan")}${way(true, "Own spec")}</fieldset></div>
    <div class="columns">
      <form class="submit" novalidate @submit=${actions.submit}>
        ${state.own ? ownSpec(state, actions) : html`${chooser(state, actions)}${planForm(state, actions)}`}
        ${unplaced(state)}
        <div class="actions"><button type="button" class="button" ?disabled=${state.busy} @click=${actions.look}>Preview</button>
          <button class="button primary" ?disabled=${state.sending}>${state.sending ? "Submitting…" : "Submit"}</button></div>
      </form>
      ${preview(state)}
    </div>`;
}

const unplaced = ({ errors, failure, own }) => html`<div role="alert" class="errors">${failure ? html`<p class="error">${failure}</p>` : nothing}
  ${errors.size ? html`<p class="error">${own || errors.has("") ? "" : "Correct the marked fields."}</p>` : nothing}
  ${(errors.get("") || []).map((text) => html`<p class="error">${text}</p>`)}</div>`;

const chooser = ({ plans, plan }, actions) => html`<div class="field wide">
  <label for="plan">Plan</label>
  <select id="plan" @change=${(event) => actions.choose(event.target.value)}>${plans.map((one) => html`<option value=${one.name} ?selected=${one.name === plan.name}>${one.name}</option>`)}</select>
  <p class="soft small">${plan.title}</p>
</div>`;

const ownSpec = ({ text, errors }, actions) => html`<div class="field wide">
  <label for="spec">Spec, as YAML or JSON</label>
  <textarea id="spec" rows="22" spellcheck="false" autocomplete="off" autocapitalize="off" .value=${live(text)} aria-invalid=${errors.size ? "true" : "false"} aria-describedby="spec-error" @input=${(event) => actions.write(event.target.value)} @change=${actions.look}></textarea>
  ${problem("spec", null)}
</div>`;
