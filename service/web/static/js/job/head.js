// The top of a job's page: its name, its state, and its actions.
import { number, send } from "../core/api.js";
import { duration, metric as shown, moment, percent, plural, real, short, whole, words, ago } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { confirm } from "../parts/confirm.js";
import { progressBar } from "../parts/progress.js";
import { silence, silentFor } from "../parts/silence.js";
import { ENDED, badge, labels } from "../parts/status.js";
import { message } from "../parts/text.js";
import { counted } from "./goodput.js";

const ACTIONS = {
  pause: {
    when: ["queued", "running", "recovering"],
    verb: "Pause",
    text: (job) => `${job.name} saves a checkpoint at its next step and stops. Its worker becomes free. The job can be resumed at any time, without losing a step.`,
  },
  resume: {
    when: ["paused", "pausing"],
    verb: "Resume",
    text: (job) => `${job.name} is queued, and continues from its last checkpoint when a worker is free.`,
  },
  cancel: {
    when: ["queued", "running", "recovering", "pausing", "paused"],
    verb: "Cancel",
    danger: true,
    text: (job) => `${job.name} ends permanently and cannot be resumed. Its checkpoints and files stay.`,
  },
};

export function head({ job }, may, refresh) {
  return html`<div class="head">
      <h1>${job.name}</h1>
      ${badge(job.status)}
      <span class="id" title=${job.id}>${job.id.slice(0, 8)}</span>
      <span class="labels">${labels(job.labels)}</span>
      <div class="actions">${may("submit") ? buttons(job, refresh) : nothing}</div>
    </div>
    ${notes(job)}
    <div class="course">${progressBar(job, true)}</div>
    <dl class="stats">${stats(job).map(([name, value, more, alarming]) => html`<div><dt>${name}</dt><dd class=${alarming ? "alarming" : ""}>${value}</dd><dd class="more">${more}</dd></div>`)}</dl>`;
}

function buttons(job, refresh) {
  const asked = (name, action) =>
    confirm({
      title: `${action.verb} this job?`,
      text: action.text(job),
      verb: `${action.verb} the job`,
      danger: action.danger,
      act: () => send("POST", `/v1/jobs/${job.id}/${name}`),
    }).then(refresh);
  return html`${Object.entries(ACTIONS)
      .filter(([, action]) => action.when.includes(job.status))
      .map(([name, action]) => html`<button class="button ${action.danger ? "danger-quiet" : ""}" data-action=${name} @click=${() => asked(name, action)}>${action.verb}</button>`)}
    <a class="button" href=${`/submit?from=${job.id}`}>Submit again</a>`;
}

function notes(job) {
  const trouble = ["failed", "recovering"].includes(job.status);
  const silent = silence(job);
  return html`${silent ? html`<p class="note" data-kind="trouble" data-silent>${silent}</p>` : nothing}
    ${job.message ? html`<div class="note" data-kind=${trouble ? "trouble" : "plain"}>${job.reason ? html`<b>${words(job.reason)}: </b>` : nothing}${message(job.message)}</div>` : nothing}
    ${job.waiting_for ? html`<p class="note">Waiting: ${job.waiting_for}</p>` : nothing}
    ${job.checkpoint?.overdue ? html`<p class="note" data-kind="trouble">The newest checkpoint is ${duration(job.checkpoint.age_seconds)} old: older than its cadence allows.</p>` : nothing}`;
}

function stats(job) {
  const { best, checkpoint, progress } = job;
  const silent = silentFor(job);
  const saved = checkpoint && `${duration(checkpoint.age_seconds)} old`;
  return [
    ["Best", best ? shown(best.metric, number(best.value)) : "–", best ? `${words(best.metric)}, epoch ${best.epoch}` : "no epoch yet"],
    ["Worker", job.worker || "–", silent === null ? job.phase || (ENDED.has(job.status) ? "the job has ended" : "no worker has the job") : `silent for ${short(silent)}`, silent !== null],
    ["Speed", progress?.images_per_second ? `${whole(progress.images_per_second)}/s` : "–", progress?.images_per_second ? "images" : ""],
    ["Checkpoint", checkpoint ? `step ${whole(checkpoint.global_step)}` : "–", ENDED.has(job.status) ? checkpoint && `saved in ${duration(checkpoint.save_seconds)}` : saved, checkpoint?.overdue],
    ["Interrupted", plural(job.preemptions, "time"), `${plural(job.attempts, "attempt")}, ${plural(job.failures, "failure")}`],
    ["Goodput", job.started_at ? percent(job.goodput.goodput) : "–", `of ${duration(counted(job))}${job.goodput.waiting >= 1 ? `; waited ${short(job.goodput.waiting)}` : ""}`],
  ];
}

export const said = (job) => `Job ${job.name} is ${job.status}${job.progress ? `, stage ${job.progress.stage} of ${job.progress.stages}` : ""}.${silentFor(job) === null ? "" : " Its worker is silent."}`;

export function about({ job }) {
  const pairs = [
    ["Id", html`<code>${job.id}</code>`],
    ["Network", `${job.spec.network?.name ?? "–"}, width ${job.spec.network?.width ?? 1}`],
    ["Data set", job.spec.dataset?.path ? `${job.spec.dataset.name}, ${job.spec.dataset.path}` : job.spec.dataset?.name],
    ["Seed", job.spec.seed],
    ["Optimizer", job.spec.optimizer ? `${job.spec.optimizer.name}, ${real(job.spec.optimizer.learning_rate)}` : null],
    ["Queue", `${job.queue}, priority ${job.priority}`],
    ["Submitted", `${moment(job.created_at)} (${ago(job.created_at)})`],
    ["Began", job.started_at ? moment(job.started_at) : "–"],
    ["Ended", job.finished_at ? moment(job.finished_at) : "–"],
    ["Source", job.spec.source],
    ...Object.entries(job.results).map(([name, value]) => [words(name), shown(name, number(value))]),
  ];
  return html`<section><h2>About</h2><dl class="facts">${pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}
