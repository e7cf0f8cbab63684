// A worker with a late heartbeat: time since the heartbeat, and the end of its lease. The time also grows between two answers.
import { between, seconds, short } from "../core/format.js";
import { now } from "../core/api.js";

// Seconds since the last heartbeat; null if it is not late. The body of an answer may be older than the answer.
export const silentFor = (job) => (job.silent_seconds === null || job.silent_seconds === undefined ? null : job.silent_seconds + Math.max(0, between(job.as_of, null)));

export function silence(job) {
  const silent = silentFor(job);
  if (silent === null) return "";
  const left = seconds(job.lease_expires_at) - now() / 1000;
  return `Worker ${job.worker} silent for ${short(silent)}; its lease ${left >= 1 ? `ends in ${short(left)}` : "has ended: another worker gets the job"}.`;
}
