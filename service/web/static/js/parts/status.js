// States as words with a mark, never only by colour.
import { html } from "../core/html.js";
import { at } from "../core/root.js";

const MARKS = {
  queued: "○",
  running: "●",
  recovering: "↻",
  pausing: "❚❚",
  paused: "❚❚",
  cancelling: "✕",
  cancelled: "✕",
  succeeded: "✓",
  failed: "!",
  starting: "◔",
  stopping: "◑",
  preempted: "⚡",
  lost: "?",
  idle: "○",
  busy: "●",
  refused: "!",
  resting: "◌",
  ended: "–",
  waiting: "○",
  active: "●",
  committed: "✓",
  quarantined: "!",
  deleted: "–",
};
export const STATUSES = ["queued", "running", "recovering", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"];
export const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export const badge = (state) =>
  html`<span class="badge" data-state=${state}><span class="mark" aria-hidden="true">${MARKS[state] || "·"}</span>${state}</span>`;

export const labels = (all) =>
  html`${Object.entries(all).map(
    ([key, value]) => html`<a class="label" href=${at(`/?label=${encodeURIComponent(`${key}:${value}`)}`)} title="Show the jobs with this label"
      ><span>${key}</span>${value}</a>`,
  )}`;
