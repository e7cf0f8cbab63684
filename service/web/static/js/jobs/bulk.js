// Actions on the selected jobs of the list: the bar, the preview of their number, and the calls.
import { send } from "../core/api.js";
import { plural } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { pairs } from "../job/forms.js";
import { confirm } from "../parts/confirm.js";

const ACTIONS = {
  pause: { verb: "Pause", text: "They save a checkpoint and stop. They can be resumed." },
  resume: { verb: "Resume", text: "They are queued, and continue from their last checkpoints." },
  retry: { verb: "Retry", text: "They are queued again with a fresh retry budget, and continue from their last good checkpoints." },
  label: { verb: "Label", text: "Other labels stay as they are.", fields: true },
  cancel: { verb: "Cancel", danger: true, text: "They stop training. Their checkpoints and files stay." },
  delete: { verb: "Delete", danger: true, text: "All data is removed permanently: checkpoints, files, logs, history and events." },
};
const NAMED = 5;

const FIELDS = html`<div class="field wide"><label for="f-labels">Labels, one key=value on each line; key= removes a label</label>
  <textarea id="f-labels" name="labels" rows="3" spellcheck="false" required></textarea></div>`;

export function bar(state, actions) {
  const all = state.every;
  if (!state.chosen.size && !all) return state.said ? html`<p class="note" role="status">${state.said}</p>` : nothing;
  return html`<div class="bulk" role="group" aria-label="Selected jobs">
    <span role="status">${all ? "All jobs that match" : `${plural(state.chosen.size, "job")} selected`}</span>
    <button class="button quiet" @click=${() => actions.page(true)}>Select this page</button>
    <button class="button quiet" @click=${() => actions.every(!all)}>${all ? "Only the checked ones" : "Select all that match"}</button>
    ${Object.entries(ACTIONS).map(([name, one]) => html`<button class="button ${one.danger ? "danger-quiet" : ""}" data-bulk=${name} @click=${() => actions.bulk(name)}>${one.verb}</button>`)}
    <button class="button quiet" @click=${actions.clear}>Clear selection</button>
  </div>`;
}

// What the actions apply to: the checked jobs, or those that match the filters of the list.
function selection(state) {
  if (!state.every) return { ids: [...state.chosen] };
  const filter = {};
  if (state.status) filter.status = [state.status];
  if (state.label) filter.label = [state.label];
  if (state.name) filter.name = state.name;
  return Object.keys(filter).length ? { filter } : { all: true };
}

// Resolves to a sentence about what was done, or null if the user went back.
export async function run(name, state) {
  const { verb, text, danger, fields } = ACTIONS[name];
  const body = { action: name, ...selection(state) };
  const { preview } = await send("POST", "/v1/jobs:bulk", { ...body, preview: true });
  if (!preview.number) return `${verb}: no selected job can be changed in this way.`;
  const named = preview.jobs.slice(0, NAMED).map((job) => job.name).join(", ");
  const number = `${preview.more ? "more than " : ""}${plural(preview.number, "job")}`;
  let total = null;
  const done = await confirm({
    title: `${verb} ${number}?`,
    text: `${named}${preview.number > NAMED ? ", …" : ""}. ${text}`,
    verb: `${verb} ${number}`,
    danger,
    fields: fields ? FIELDS : nothing,
    act: async (values) => {
      const labels = fields ? pairs(values.get("labels"), (value) => value || null) : undefined;
      total = await call({ ...body, labels, expect: preview.more ? undefined : preview.number });
    },
  });
  return done ? sentence(verb, total) : null;
}

// The service handles a part of the jobs in each call.
async function call(body) {
  const total = { done: 0, unchanged: 0, skipped: 0, reasons: [] };
  let cursor;
  do {
    const part = await send("POST", "/v1/jobs:bulk", { ...body, cursor });
    for (const name of ["done", "unchanged", "skipped"]) total[name] += part[name];
    total.reasons.push(...part.reasons);
    cursor = part.next_cursor ?? undefined;
  } while (cursor);
  return total;
}

function sentence(verb, { done, unchanged, skipped, reasons }) {
  const parts = [`${plural(done, "job")} done`, unchanged && `${unchanged} unchanged`, skipped && `${skipped} skipped`].filter(Boolean);
  const why = reasons.slice(0, NAMED).map((one) => `${one.name || one.id}: ${one.why}`).join("; ");
  return `${verb}: ${parts.join(", ")}.${why ? ` ${why}${reasons.length > NAMED ? "; …" : ""}` : ""}`;
}
