// All data of one job, kept up to date: its events show which parts have changed, and these are loaded again.
import { get, items } from "../core/api.js";
import { poll } from "../core/live.js";
import { follow } from "../core/stream.js";
import { ENDED } from "../parts/status.js";

const EVERY = 2000;
const SOON = 250;
const RECENT = 200;
const MOST = 5000;
const ALWAYS = ["stages", "attempts", "history"];
const CHANGED = {
  epoch: ["history", "stages"],
  stage_started: ["stages"],
  stage_finished: ["stages"],
  checkpoint: ["checkpoints"],
  quarantined: ["checkpoints", "attempts"],
  artifact: ["artifacts"],
  restarted: ["attempts", "history", "stages"],
  rows_deleted: ["history", "stages"],
};
const OF_ATTEMPTS = /^(queued|dispatched|claimed|started|stopping|recovering|attempt_.*)$/;

export class JobStore {
  constructor(id, changed) {
    Object.assign(this, { id, changed, job: null, error: "", missing: false, stages: [], attempts: [], history: [], children: [] });
    Object.assign(this, { checkpoints: null, artifacts: null, events: [], first: null, complete: false, ended: false });
    this.stale = new Set(ALWAYS);
    this.kept = new Set(ALWAYS);
    this.stopFollowing = () => {};
    this.asking = poll(() => this.loadJob(), EVERY);
  }

  // From now on a view shows this part: load it now and whenever it changes.
  need(part) {
    if (this.kept.has(part)) return;
    this.kept.add(part);
    this.stale.add(part);
    this.flushSoon(0);
  }

  async loadJob() {
    try {
      const job = await get(`/v1/jobs/${this.id}`);
      if (this.ended) return false;
      this.take(job);
    } catch (error) {
      this.missing = error.status === 404;
      this.error = error.message;
      this.changed();
      throw error;
    }
    return !ENDED.has(this.job.status);
  }

  // After an action. A job that had ended may run again, so it is followed again.
  refresh() {
    if (!ENDED.has(this.job.status)) return void this.asking.now();
    this.asking.stop();
    this.stopFollowing();
    this.asking = poll(() => this.loadJob(), EVERY);
    this.stopFollowing = follow(this.id, this.events.at(-1)?.sequence ?? this.job.events, (event) => this.heard(event, 0));
    return undefined;
  }

  take(job) {
    const begins = !this.job;
    this.job = job;
    this.error = "";
    this.changed();
    if (!begins) return;
    if ("source" in job) this.need("children");
    this.first = Math.max(0, job.events - RECENT) + 1;
    const known = job.events;
    this.stopFollowing = follow(this.id, this.first - 1, (event) => this.heard(event, known), () => {
      this.complete = true;
      this.changedSoon();
    });
    this.flushSoon(0);
  }

  heard(event, known) {
    this.events.push(event);
    if (this.events.length > MOST) this.first = this.events.splice(0, MOST / 2).at(-1).sequence + 1;
    if (event.sequence > known) {
      const parts = CHANGED[event.kind] || (OF_ATTEMPTS.test(event.kind) ? ["attempts"] : []);
      if (event.kind === "restarted" || event.kind === "rows_deleted") this.history = [];
      for (const part of parts) this.stale.add(part);
      this.flushSoon(SOON);
      this.asking.now();
    }
    this.changedSoon();
  }

  // A long log arrives as hundreds of events at once: draw them together.
  changedSoon() {
    this.telling ??= setTimeout(() => {
      this.telling = null;
      if (!this.ended) this.changed();
    }, 50);
  }

  async loadEarlier() {
    const after = Math.max(0, this.first - 1 - RECENT);
    const page = await get(`/v1/jobs/${this.id}/events?after=${after}&limit=${this.first - 1 - after}`);
    this.events.unshift(...page.items);
    this.first = after + 1;
    this.changed();
  }

  flushSoon(milliseconds) {
    if (!this.flushing) this.timer ??= setTimeout(() => this.flush(), milliseconds);
  }

  async flush() {
    this.timer = null;
    this.flushing = true;
    const parts = [...this.stale].filter((part) => this.kept.has(part));
    this.stale.clear();
    const failed = await Promise.all(parts.map((part) => this.load(part).then(() => null, () => part)));
    this.flushing = false;
    if (this.ended) return;
    for (const part of failed.filter(Boolean)) this.stale.add(part);
    this.changed();
    if (this.stale.size) this.flushSoon(failed.some(Boolean) ? EVERY : SOON);
  }

  async load(part) {
    if (part === "history") await this.loadHistory();
    else this[part] = await items(`/v1/jobs/${this.id}/${part}`);
  }

  // Loads only new rows, and the newest one again, because a repeated epoch replaces its row.
  async loadHistory() {
    const known = this.history;
    const after = Math.max(0, (known.at(-1)?.epoch ?? 0) - 1);
    const rows = await items(`/v1/jobs/${this.id}/history?after=${after}`);
    if (this.history === known) this.history = [...known.filter((row) => row.epoch <= after), ...rows];
    else this.stale.add("history"); // rows were deleted meanwhile: the answer may have them
  }

  stop() {
    this.ended = true;
    this.asking.stop();
    this.stopFollowing();
    clearTimeout(this.timer);
    clearTimeout(this.telling);
  }
}
