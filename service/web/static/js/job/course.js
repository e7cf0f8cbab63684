// A job along an axis of epochs, steps or time: the positions of its stages and interruptions.
import { duration, whole } from "../core/format.js";

export const AXES = { epoch: "Epochs", step: "Steps", time: "Time" };
const INTERRUPTED = new Set(["preempted", "lost", "failed", "paused"]);

// {x, bands, marks, from, show, unit} of the store's job on this axis.
export function course(store, axis) {
  const rows = store.history;
  const knots = knotsOf(store);
  const begun = Date.parse(store.job.created_at) / 1000;
  const elapsed = (text) => Date.parse(text) / 1000 - begun;
  const places = {
    epoch: { x: (row) => row.epoch, step: (step) => line(knots, step, 0, 1), epoch: (epoch) => epoch },
    step: { x: (row) => row.global_step, step: (step) => step, epoch: (epoch) => line(knots, epoch, 1, 0) },
    time: { x: (row) => elapsed(row.finished_at) },
  }[axis];
  const x = rows.map(places.x);
  const last = x.at(-1) ?? 0;
  const bands = axis === "time" ? bandsInTime(store, elapsed, last) : bandsOf(store, places, last);
  const marks = marksOf(store, axis === "time" ? (attempt) => elapsed(attempt.finished_at) : (attempt) => places.step(stepOf(attempt, store)));
  return { x, bands, marks: marks.filter((mark) => Number.isFinite(mark.at)), from: 0, show: SHOW[axis], unit: AXES[axis].replace(/s$/, "") };
}

const SHOW = {
  epoch: (value) => (Number.isInteger(value) ? String(value) : ""),
  step: whole,
  time: duration,
};

// [global step, epochs done] of the recorded rows, and one extrapolated point at the rate of the current stage.
function knotsOf({ history, job }) {
  const knots = [[0, 0], ...history.map((row) => [row.global_step, row.epoch])];
  const steps = job.progress?.steps;
  const [step, epoch] = knots.at(-1);
  if (steps) knots.push([step + steps, epoch + 1]);
  return knots;
}

function line(knots, value, from, to) {
  if (knots.length < 2) return NaN;
  const found = knots.findIndex((knot) => knot[from] >= value);
  const k = Math.max(1, found < 0 ? knots.length - 1 : found);
  const [a, b] = [knots[k - 1], knots[k]];
  return a[to] + ((value - a[from]) / (b[from] - a[from] || 1)) * (b[to] - a[to]);
}

function bandsOf({ stages }, places, last) {
  const bands = [];
  let epochs = 0;
  for (const stage of stages) {
    const [begin, end] = [places.epoch(epochs), places.epoch(epochs + stage.epochs)];
    epochs += stage.epochs;
    if (stage.state === "waiting" && begin >= last) break;
    bands.push({ begin, end: stage.epochs_done < stage.epochs ? Math.max(last, begin) : end, name: stage.name });
  }
  return bands;
}

const bandsInTime = ({ stages }, elapsed, last) =>
  stages
    .filter((stage) => stage.started_at)
    .map((stage) => ({ begin: elapsed(stage.started_at), end: stage.finished_at ? elapsed(stage.finished_at) : last, name: stage.name }));

const marksOf = ({ attempts }, place) =>
  attempts
    .filter((attempt) => INTERRUPTED.has(attempt.state) && attempt.claimed_at)
    .map((attempt) => ({ at: place(attempt), kind: attempt.state, attempt: attempt.attempt }));

// A lost worker did not report its last step. Then this is the end of its last epoch.
function stepOf(attempt, { history }) {
  if (attempt.end_step !== null) return attempt.end_step;
  return history.findLast((row) => row.attempt <= attempt.attempt)?.global_step ?? attempt.start_step ?? NaN;
}
