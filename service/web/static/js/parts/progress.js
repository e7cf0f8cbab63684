// The progress of a job: a bar with text.
import { duration, percent, whole } from "../core/format.js";
import { html } from "../core/html.js";

export function progressBar(job, long = false) {
  const at = job.progress;
  if (!at) return html`<span class="faint">${job.status === "queued" ? "not begun" : "–"}</span>`;
  const where = position(at);
  // A program may not know how many steps it takes.
  if (!at.total_steps) return html`<small>${where}</small>`;
  const left = job.status === "running" && at.eta_seconds ? `, ${duration(at.eta_seconds)} left` : "";
  return html`<progress max="1" .value=${at.fraction} data-state=${job.status} aria-label=${`${percent(at.fraction, 0)} of all steps`}></progress>
    <small><b>${percent(at.fraction, long ? 1 : 0)}</b> ${where}${long ? left : ""}</small>`;
}

// A program has no stages, and its epochs may be unknown.
export function position(at) {
  const epoch = at.epochs ? `epoch ${at.epoch}/${at.epochs}` : at.epoch ? `epoch ${at.epoch}` : "";
  const step = at.total_steps ? (epoch ? "" : `step ${whole(at.global_step)}/${whole(at.total_steps)}`) : `step ${whole(at.global_step)}`;
  return [at.stages > 1 ? `stage ${at.stage}/${at.stages}` : "", epoch, step].filter(Boolean).join(", ");
}
