// The progress of a job: a bar with text.
import { duration, percent } from "../core/format.js";
import { html } from "../core/html.js";

export function progressBar(job, long = false) {
  const at = job.progress;
  if (!at) return html`<span class="faint">${job.status === "queued" ? "not begun" : "–"}</span>`;
  const where = `${at.stages > 1 ? `stage ${at.stage}/${at.stages}, ` : ""}epoch ${at.epoch}/${at.epochs}`;
  const left = job.status === "running" && at.eta_seconds ? `, ${duration(at.eta_seconds)} left` : "";
  return html`<progress max="1" .value=${at.fraction} data-state=${job.status} aria-label=${`${percent(at.fraction, 0)} of all steps`}></progress>
    <small><b>${percent(at.fraction, long ? 1 : 0)}</b> ${where}${long ? left : ""}</small>`;
}
