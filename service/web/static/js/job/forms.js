// The forms of a job's actions: their fields, and what they send.
import { send } from "../core/api.js";
import { html, nothing } from "../core/html.js";

const PRIORITIES = ["high", "normal", "low"];

const field = (name, label, control, more = nothing) => html`<div class="field wide"><label for=${`f-${name}`}>${label}</label>${control}${more}</div>`;
const input = (name, value) => html`<input id=${`f-${name}`} name=${name} value=${value} required autocomplete="off" spellcheck="false" />`;
const lines = (name, value, rows, placeholder = "") => html`<textarea id=${`f-${name}`} name=${name} rows=${rows} spellcheck="false" placeholder=${placeholder} .value=${value}></textarea>`;

export const newFields = (job, continued) => html`${continued
    ? html`${field("checkpoint", "Checkpoint", html`<select id="f-checkpoint" name="checkpoint"><option value="latest">latest</option><option value="best">best</option><option value="step">a step</option></select>`)}
      <div class="of-step">${field("step", "Step", html`<input id="f-step" name="step" type="number" min="0" value=${job.checkpoint?.global_step ?? ""} />`)}</div>`
    : nothing}
  ${field("name", "Name", input("name", job.name))}
  ${field("changes", "Changes, one path=value on each line", lines("changes", "", 4, job.spec.program ? "params.lr=1e-4\nprogram.environment.SEED=7" : "stages.0.epochs=20\noptimizer.learning_rate=1e-4"))}`;

// Returns the path of the new job. `key`: a repeated call makes no second job.
export async function newJob(job, values, continued, key) {
  const changes = { ...pairs(values.get("changes"), parsed), name: values.get("name") };
  const chosen = values.get("checkpoint");
  const from = { job: job.id, checkpoint: chosen === "step" ? Number(values.get("step")) : chosen };
  const made = await send("POST", "/v1/jobs", { ...(continued ? { from } : { clone: job.id }), set: changes }, { "Idempotency-Key": key });
  return `/jobs/${made.id}`;
}

export const editFields = (job) => html`${field("name", "Name", input("name", job.name))}
  ${field("labels", "Labels, one key=value on each line", lines("labels", written(job.labels), 3))}
  ${field("notes", "Notes", lines("notes", job.notes || "", 5))}
  ${field("priority", "Priority", html`<select id="f-priority" name="priority">${PRIORITIES.map((one) => html`<option ?selected=${one === job.priority}>${one}</option>`)}</select>`)}
  <label class="check"><input type="checkbox" name="protected" ?checked=${job.protected} />Protected: retention does not delete this job</label>`;

// The merge patch with the fields that the user changed.
export function changedFields(job, values) {
  const wanted = { name: values.get("name"), priority: values.get("priority"), protected: values.has("protected"), notes: values.get("notes").replaceAll("\r\n", "\n") || null };
  const found = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== (job[name] ?? null)));
  const labels = pairs(values.get("labels"), String);
  const changed = Object.entries(labels).filter(([key, value]) => job.labels[key] !== value);
  const removed = Object.keys(job.labels).filter((key) => !(key in labels)).map((key) => [key, null]);
  if (changed.length || removed.length) found.labels = Object.fromEntries([...changed, ...removed]);
  return found;
}

const written = (labels) => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join("\n");

export function pairs(text, value) {
  const found = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const wrong = found.find((line) => line.indexOf("=") < 1);
  if (wrong) throw new Error(`"${wrong}" has no "=": write one path=value or key=value on each line.`);
  return Object.fromEntries(found.map((line) => [line.slice(0, line.indexOf("=")).trim(), value(line.slice(line.indexOf("=") + 1).trim())]));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
