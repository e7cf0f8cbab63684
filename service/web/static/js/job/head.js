// The top of a job's page: its name, its state, and its actions.
import { number } from "../core/api.js";
import { duration, metric as shown, moment, percent, plural, real, short, whole, words, ago } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { programFacts } from "../parts/program.js";
import { position, progressBar } from "../parts/progress.js";
import { silence, silentFor } from "../parts/silence.js";
import { ENDED, badge, labels } from "../parts/status.js";
import { message } from "../parts/text.js";
import { buttons } from "./actions.js";
import { counted } from "./goodput.js";
import { childrenOf, sourceOf } from "./lineage.js";

export function head({ job }, may, refresh) {
  return html`<div class="head">
      <h1>${job.name}</h1>
      ${badge(job.status)}
      <span class="id" title=${job.id}>${job.id.slice(0, 8)}</span>
      ${job.protected ? html`<span class="role" title="Retention does not delete this job">protected</span>` : nothing}
      ${job.project && job.project !== "default" ? html`<span class="role" title=${`Project, submitted by ${job.owner ?? "an unknown token"}`}>${job.project}</span>` : nothing}
      <span class="labels">${labels(job.labels)}</span>
      <div class="actions">${may("submit") ? buttons(job, may, refresh) : nothing}</div>
    </div>
    ${notes(job)}
    <div class="course">${progressBar(job, true)}</div>
    <dl class="stats">${stats(job).map(([name, value, more, alarming]) => html`<div><dt>${name}</dt><dd class=${alarming ? "alarming" : ""}>${value}</dd><dd class="more">${more}</dd></div>`)}</dl>`;
}

function notes(job) {
  const trouble = ["failed", "recovering"].includes(job.status);
  const silent = silence(job);
  return html`${silent ? html`<p class="note" data-kind="trouble" data-silent>${silent}</p>` : nothing}
    ${job.message ? html`<div class="note" data-kind=${trouble ? "trouble" : "plain"}>${job.reason ? html`<b>${words(job.reason)}: </b>` : nothing}${message(job.message)}</div>` : nothing}
    ${job.notes ? html`<div class="note" data-notes>${message(job.notes)}</div>` : nothing}
    ${job.waiting_for ? html`<p class="note">Waiting: ${job.waiting_for}</p>` : nothing}
    ${job.progress?.files_left_out ? html`<p class="note">${plural(job.progress.files_left_out, "file")} of the data set ${job.progress.files_left_out === 1 ? "is" : "are"} not used: the event files_left_out tells why.</p>` : nothing}
    ${job.checkpoint?.overdue ? html`<p class="note" data-kind="trouble">The newest checkpoint is ${duration(job.checkpoint.age_seconds)} old: older than its cadence allows.</p>` : nothing}`;
}

function stats(job) {
  const { best, checkpoint, progress } = job;
  const silent = silentFor(job);
  const saved = checkpoint && `${duration(checkpoint.age_seconds)} old`;
  return [
    ["Best", best ? shown(best.metric, number(best.value)) : "–", best ? `${words(best.metric)}, epoch ${best.epoch}` : "no epoch yet"],
    ["Worker", job.worker || "–", silent === null ? job.phase || (ENDED.has(job.status) ? "the job has ended" : "no worker has the job") : `silent for ${short(silent)}`, silent !== null],
    speed(job, progress),
    ["Checkpoint", checkpoint ? `step ${whole(checkpoint.global_step)}` : "–", ENDED.has(job.status) ? checkpoint && `saved in ${duration(checkpoint.save_seconds)}` : saved, checkpoint?.overdue],
    ["Interrupted", plural(job.preemptions, "time"), `${plural(job.attempts, "attempt")}, ${plural(job.failures, "failure")}`],
    ["Goodput", job.started_at ? percent(job.goodput.goodput) : "–", `of ${duration(counted(job))}${job.goodput.waiting >= 1 ? `; waited ${short(job.goodput.waiting)}` : ""}`],
  ];
}

// A program reports no images. Its remaining time is shown in the place of the speed.
function speed(job, progress) {
  if (job.spec.program) return ["Left", progress?.eta_seconds ? duration(progress.eta_seconds) : "–", progress?.total_steps ? `of ${whole(progress.total_steps)} steps` : ""];
  return ["Speed", progress?.images_per_second ? `${whole(progress.images_per_second)}/s` : "–", progress?.images_per_second ? "images" : ""];
}

export const said = (job) => `Job ${job.name} is ${job.status}${job.progress ? `, ${job.progress.stages ? `stage ${job.progress.stage} of ${job.progress.stages}` : position(job.progress)}` : ""}.${silentFor(job) === null ? "" : " Its worker is silent."}`;

export function about({ job, children }) {
  const pairs = [
    ["Id", html`<code>${job.id}</code>`],
    ...programFacts(job.spec),
    ["Network", job.spec.network ? `${job.spec.network.name ?? "–"}, width ${job.spec.network.width ?? 1}` : null],
    ["Data set", job.spec.dataset?.path ? `${job.spec.dataset.name}, ${job.spec.dataset.path}` : job.spec.dataset?.name],
    ["Seed", job.spec.seed],
    ["Optimizer", job.spec.optimizer ? `${job.spec.optimizer.name}, ${real(job.spec.optimizer.learning_rate)}` : null],
    ["Queue", `${job.queue}, priority ${job.priority}`],
    ["Submitted", `${moment(job.created_at)} (${ago(job.created_at)})`],
    ["Began", job.started_at ? moment(job.started_at) : "–"],
    ["Ended", job.finished_at ? moment(job.finished_at) : "–"],
    ["Source", job.spec.source],
    ["Made from", sourceOf(job)],
    ["Made from this job", children.length ? childrenOf(children) : null],
    ...Object.entries(job.results).map(([name, value]) => [words(name), shown(name, number(value))]),
  ];
  return html`<section><h2>About</h2><dl class="facts">${pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}
