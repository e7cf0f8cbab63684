// One job: its head, and the selected tab below.
import { drawer, html, nothing } from "../core/html.js";
import { at } from "../core/root.js";
import { attempts } from "../job/attempts.js";
import { Curves } from "../job/curves.js";
import { Events } from "../job/events.js";
import { Checkpoints, Report, artifacts, spec } from "../job/files.js";
import { goodput } from "../job/goodput.js";
import { about, head, said } from "../job/head.js";
import { Logs } from "../job/logs.js";
import { Series } from "../job/series.js";
import { stages } from "../job/stages.js";
import { JobStore } from "../job/store.js";
import { ENDED } from "../parts/status.js";
import { empty } from "../parts/table.js";

const TABS = { overview: "Overview", series: "Series", logs: "Logs", events: "Events", checkpoints: "Checkpoints", artifacts: "Files", report: "Report", spec: "Spec" };
const NEEDS = { checkpoints: "checkpoints", artifacts: "artifacts", report: "artifacts" };

export function jobPage(root, { parts: [id, tab], query, may }) {
  const state = { tab: TABS[tab] ? tab : "overview" };
  const draw = drawer(root, template, mounted);
  const store = new JobStore(id, draw);
  const [curves, series, logs, events] = [new Curves(draw), new Series(id, draw), new Logs(draw), new Events(draw)];
  const [checkpoints, report] = [new Checkpoints(draw), new Report(draw)];
  const views = {
    overview: () => html`${curves.template(store)}${stages(store)}${attempts(store)}${goodput(store)}${about(store)}`,
    series: () => series.template(store),
    logs: () => logs.template(store),
    events: () => events.template(store),
    checkpoints: () => checkpoints.template(store),
    artifacts: () => artifacts(store),
    report: () => report.template(store),
    spec: () => spec(store),
  };
  // Ages and bars of an unfinished job grow without new data.
  const ticking = setInterval(() => store.job && !ENDED.has(store.job.status) && !document.hidden && draw(), 1000);

  function template() {
    document.title = store.job ? `${store.job.name}: ${store.job.status} – Baton` : "Job – Baton";
    if (!store.job) return html`<p class="empty" role="status">${store.missing ? "There is no such job." : store.error || "Loading…"}</p>`;
    return html`${head(store, may, () => store.refresh())}
      <p class="hidden" role="status">${said(store.job)}</p>
      <nav class="tabs" aria-label="Parts of the job">${Object.entries(TABS).filter(([name]) => name !== "report" || !store.job.spec.program).map(([name, title]) => html`<a href=${at(`/jobs/${id}${name === "overview" ? "" : `/${name}`}`)} aria-current=${state.tab === name ? "page" : nothing}>${title}</a>`)}</nav>
      <div class="tab" data-tab=${state.tab}>${views[state.tab]() || empty("Nothing yet.")}</div>`;
  }

  function mounted() {
    curves.show(root, store);
    series.show(root);
    logs.show(root, store);
  }

  function move({ parts: [other, wanted], query: asked }) {
    if (other !== id) return false;
    state.tab = TABS[wanted] ? wanted : "overview";
    if (state.tab !== "series") series.end();
    if (NEEDS[state.tab]) store.need(NEEDS[state.tab]);
    if (asked.has("attempt")) logs.chosen = Number(asked.get("attempt"));
    draw();
    return true;
  }

  move({ parts: [id, tab], query });

  function end() {
    clearInterval(ticking);
    store.stop();
    curves.end();
    series.end();
    logs.end();
    draw.end();
  }
  return Object.assign(end, { move });
}
