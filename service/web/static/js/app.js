// The dashboard: the session, the frame around the views, and the current view.
import { get, on, send, setCsrf } from "./core/api.js";
import { drawer, html, nothing } from "./core/html.js";
import { at } from "./core/root.js";
import * as router from "./core/router.js";
import { comparePage } from "./pages/compare.js";
import { jobPage } from "./pages/job.js";
import { jobsPage } from "./pages/jobs.js";
import { queuePage } from "./pages/queue.js";
import { signIn } from "./pages/signin.js";
import { submitPage } from "./pages/submit.js";
import { usagePage } from "./pages/usage.js";
import { workersPage } from "./pages/workers.js";

const PAGES = { jobs: jobsPage, job: jobPage, compare: comparePage, queue: queuePage, workers: workersPage, usage: usagePage, submit: submitPage };
const state = { session: null, route: router.route(), reached: true, why: "" };
let end = () => {};

export const may = (scope) => Boolean(state.session && [scope, "admin"].some((one) => state.session.scopes.includes(one)));

const draw = drawer(document.getElementById("app"), () => html`${header()} ${outage()}<main id="content" tabindex="-1"></main>`);

function header() {
  const { session, route } = state;
  const link = (path, name, text) => html`<a href=${at(path)} aria-current=${route.name === name ? "page" : nothing}>${text}</a>`;
  return html`<header class="top">
    <a class="brand" href=${at("/")}><svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><rect width="32" height="32" rx="7" fill="currentColor" /><path class="stick" d="M8 24 24 8" /></svg>Baton</a>
    ${session
      ? html`<nav aria-label="Main">${link("/", "jobs", "Jobs")} ${link("/queue", "queue", "Queue")} ${link("/workers", "workers", "Workers")} ${link("/usage", "usage", "Usage")} ${may("submit") ? link("/submit", "submit", "New job") : nothing}</nav>
          <div class="who"><span title=${`May: ${session.scopes.join(", ")}`}>${session.name}</span><button class="button quiet" @click=${signOut}>Sign out</button></div>`
      : nothing}
  </header>`;
}

const outage = () => html`<div role="status" class="outage" ?hidden=${state.reached}>${state.reached ? "" : "The service does not answer. Trying again…"}</div>`;

function show({ reload = false } = {}) {
  const before = state.route;
  state.route = router.route();
  draw();
  // A view that can move to another part of itself keeps its data.
  if (!reload && before.name === state.route.name && end.move?.(state.route)) return false;
  queueMicrotask(() => {
    end();
    const root = fresh();
    const make = state.session ? PAGES[state.route.name] || missing : signIn;
    end = make(root, { ...state.route, may, session: state.session, signedIn, why: state.why }) || (() => {});
  });
  return true;
}

// A new node for each view, so that the previous view cannot draw into it.
function fresh() {
  const node = document.createElement("div");
  node.className = "view";
  document.getElementById("content").replaceChildren(node);
  window.scrollTo(0, 0);
  return node;
}

function missing(root) {
  document.title = "Page not found – Baton";
  root.append(Object.assign(document.createElement("p"), { className: "empty", textContent: "There is no such page. Jobs are listed under “Jobs”." }));
}

function signedIn(session) {
  state.session = session;
  state.why = "";
  setCsrf(session.csrf);
  show({ reload: true });
}

function signedOut(why) {
  state.session = null;
  state.why = why;
  setCsrf(null);
  show({ reload: true });
}

async function signOut() {
  await send("DELETE", "/v1/session");
  signedOut("");
}

on("unauthorized", () => state.session && signedOut("The session has ended. Sign in again."));
on("reached", (reached) => {
  if (reached !== state.reached) {
    state.reached = reached;
    draw();
  }
});

router.start(() => {
  if (show()) document.getElementById("content").focus({ preventScroll: true });
});

// A link that signs in once. Its code is removed from the URL before it is used, so it is not in the browser's history.
async function redeem() {
  const code = /^#sign-in=(baton_link_[0-9a-f]+)$/.exec(window.location.hash)?.[1];
  if (!code) return false;
  router.dropFragment();
  try {
    signedIn(await send("POST", "/v1/session", { token: code }));
    return true;
  } catch (error) {
    state.why = error.message;
    return false;
  }
}

async function begin() {
  if (await redeem()) return;
  if (document.querySelector('meta[name="baton-session"]').content === "yes") {
    try {
      signedIn(await get("/v1/session"));
      return;
    } catch (error) {
      if (error.status !== 401) state.why = error.message;
    }
  }
  show();
}

begin();
