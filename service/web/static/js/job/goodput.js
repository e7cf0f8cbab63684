// How a job's time was spent, as a bar and as a table.
import { duration, hours, money, percent, words } from "../core/format.js";
import { html, svg } from "../core/html.js";

const BUCKETS = ["training", "validation", "evaluation", "startup", "data_loading", "restore", "checkpoint_stall", "redone", "recovery", "other", "waiting", "paused"];
const PRODUCTIVE = 3;

// The denominator of goodput in seconds: a worker held the job, or the job waited for a worker after an interruption.
export const counted = ({ goodput }) => Math.max(0, goodput.total - (goodput.waiting || 0) - (goodput.paused || 0));

export function goodput({ job }) {
  const total = job.goodput.total;
  if (!total) return "";
  const parts = BUCKETS.map((name, k) => ({ name, seconds: job.goodput[name] || 0, productive: k < PRODUCTIVE })).filter((one) => one.seconds > 0.0005);
  const spans = placed(parts, total);
  return html`<section><h2>Goodput</h2>
    <p><b class="large">${percent(job.goodput.goodput)}</b> of ${duration(counted(job))} was spent on training, validation and evaluation.
      ${apart(job.goodput)} ${used(job)}</p>
    <svg class="stack" role="img" aria-label="Share of time by category; the table below has the numbers" height="22">
      ${spans.map((one) => svg`<rect class=${`bucket-${one.name}`} x=${`${one.from}%`} width=${`${one.share}%`} height="22"><title>${words(one.name)}: ${duration(one.seconds)}</title></rect>`)}
    </svg>
    <ul class="buckets">${parts.map((one) => html`<li><svg width="10" height="10" aria-hidden="true"><rect class=${`bucket-${one.name}`} width="10" height="10" rx="2" /></svg>
      <span>${words(one.name)}</span> <b>${duration(one.seconds)}</b> <small>${percent(one.seconds / total)}</small></li>`)}</ul>
  </section>`;
}

// Time in the queue and pauses do not count as losses.
function apart({ waiting, paused }) {
  const parts = [waiting >= 1 && `${duration(waiting)} in the queue`, paused >= 1 && `${duration(paused)} paused`].filter(Boolean);
  return parts.length ? html`<span class="soft">Not counted: ${parts.join(", ")}.</span>` : "";
}

function used({ gpu_hours: gpus, cost, currency }) {
  const parts = [gpus > 0 && `used ${hours(gpus)} GPU hours`, cost !== null && `cost ${money(cost, currency)}`].filter(Boolean);
  return parts.length ? html`<span>The job ${parts.join(" and ")}.</span>` : "";
}

function placed(parts, total) {
  let from = 0;
  return parts.map((one) => {
    const share = (100 * one.seconds) / total;
    from += share;
    return { ...one, share: share.toFixed(3), from: (from - share).toFixed(3) };
  });
}
