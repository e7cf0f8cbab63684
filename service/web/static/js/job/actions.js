// The buttons of a job: orders, and forms that change it, delete it, or make another job from it.
import { drawKey, get, request, send } from "../core/api.js";
import { html, nothing } from "../core/html.js";
import { at } from "../core/root.js";
import { go } from "../core/router.js";
import { confirm } from "../parts/confirm.js";
import { ENDED } from "../parts/status.js";
import { changedFields, editFields, newFields, newJob } from "./forms.js";

const order = (name) => (job) => send("POST", `/v1/jobs/${job.id}/${name}`);

const ACTIONS = {
  pause: {
    when: (job) => ["queued", "running", "recovering"].includes(job.status),
    verb: "Pause",
    text: (job) => `${job.name} saves a checkpoint at its next step and stops. Its worker becomes free. The job can be resumed at any time, without losing a step.`,
    act: order("pause"),
  },
  resume: {
    when: (job) => ["paused", "pausing"].includes(job.status),
    verb: "Resume",
    starts: true,
    text: (job) => `${job.name} is queued, and continues from its last checkpoint when a worker is free.`,
    act: order("resume"),
  },
  retry: {
    when: (job) => ["failed", "cancelled"].includes(job.status),
    verb: "Retry",
    starts: true,
    text: (job) => `${job.name} is queued again with a fresh retry budget, and continues from its last good checkpoint, or from the beginning if it has none.`,
    act: order("retry"),
  },
  continue: {
    when: (job) => job.started_at && (ENDED.has(job.status) || job.status === "paused"),
    verb: "Continue",
    starts: true,
    question: "Train further in a new job?",
    button: "Submit the new job",
    text: (job) => `A new job starts from a checkpoint of ${job.name}, with the changes below. ${job.name} stays as it is.`,
    fields: (job) => newFields(job, true),
    act: (job, values, key) => newJob(job, values, true, key),
  },
  clone: {
    when: () => true,
    verb: "Clone",
    starts: true,
    question: "Train the same spec again?",
    button: "Submit the new job",
    text: (job) => `A new job with the spec of ${job.name} and the changes below starts from the beginning.`,
    fields: (job) => newFields(job, false),
    act: (job, values, key) => newJob(job, values, false, key),
  },
  edit: {
    when: () => true,
    verb: "Edit",
    question: "Edit this job",
    button: "Save",
    text: () => "These fields do not change what is trained.",
    fields: editFields,
    act: save,
  },
  cancel: {
    when: (job) => !ENDED.has(job.status) && job.status !== "cancelling",
    verb: "Cancel",
    danger: true,
    text: (job) => `${job.name} stops training. Its checkpoints and files stay.`,
    act: order("cancel"),
  },
  delete: {
    when: (job) => ENDED.has(job.status),
    verb: "Delete",
    danger: true,
    text: (job) => `All data of ${job.name} is removed permanently from the database and the store: checkpoints, files, report, logs, history, events and notes. Jobs that were continued from it keep their own copy of its checkpoint.${job.protected ? " It is protected, so retention would keep it." : ""}`,
    act: async (job) => {
      await request("DELETE", `/v1/jobs/${job.id}`);
      return "/";
    },
  },
};

// To start a program, a token needs a scope of its own.
export function buttons(job, may, refresh) {
  const starts = !job.spec.program || may("programs");
  return html`${Object.entries(ACTIONS)
      .filter(([, action]) => action.when(job) && (starts || !action.starts))
      .map(([name, action]) => html`<button class="button ${action.danger ? "danger-quiet" : ""}" data-action=${name} @click=${() => ask(action, job, refresh)}>${action.verb}</button>`)}
    ${starts ? html`<a class="button" href=${at(`/submit?from=${job.id}`)} title="Opens the form for a new job, with this spec">Submit again</a>` : nothing}`;
}

// The form shows the job as it was when it was opened: later versions do not change it while the user edits it.
async function ask(action, job, refresh) {
  let target = null;
  const key = drawKey();
  const done = await confirm({
    title: action.question || `${action.verb} this job?`,
    text: action.text(job),
    verb: action.button || `${action.verb} the job`,
    danger: action.danger,
    fields: action.fields ? action.fields(job) : nothing,
    act: async (values) => {
      const found = await action.act(job, values, key);
      target = typeof found === "string" ? found : null;
    },
  });
  if (done && target) go(target);
  else refresh();
}

// The version of a job that trains grows all the time. Only a change of the edited fields is a conflict.
async function save(job, values) {
  const changes = changedFields(job, values);
  if (!Object.keys(changes).length) return;
  const current = await get(`/v1/jobs/${job.id}`);
  const other = Object.keys(changes).find((name) => JSON.stringify(current[name]) !== JSON.stringify(job[name]));
  if (other) throw new Error(`Somebody changed the field ${other} meanwhile. Close this form and open it again to see the new value.`);
  await send("PATCH", `/v1/jobs/${job.id}`, changes, { "If-Match": `W/"${current.version}"` });
}
