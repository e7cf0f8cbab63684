// Calls of the REST API with the session cookie. Errors become Problem. `now` follows the service's clock.
import { at } from "./root.js";

export class Problem extends Error {
  constructor(status, view) {
    super(view.detail || view.title || `the service answered ${status}`);
    this.status = status;
    this.code = view.code || "error";
    this.errors = view.errors || [];
  }
}

export class Unreachable extends Error {}

let csrf = null;
let skew = 0; // milliseconds that the service's clock is ahead of this one
const listeners = { unauthorized: [], reached: [] };

export const on = (kind, listener) => listeners[kind].push(listener);
const tell = (kind, value) => listeners[kind].forEach((listener) => listener(value));
export const setCsrf = (value) => {
  csrf = value;
};
export const now = () => Date.now() + skew;

export async function request(method, path, { body, type, headers = {}, signal } = {}) {
  const all = { Accept: "application/json", ...headers };
  if (type) all["Content-Type"] = type;
  if (method !== "GET" && csrf) all["Baton-CSRF"] = csrf;
  let answer;
  try {
    answer = await fetch(at(path), { method, body, headers: all, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell("reached", false);
    throw new Unreachable("The service does not answer.");
  }
  tell("reached", answer.status !== 502 && answer.status !== 504);
  keepTime(answer);
  if (!answer.ok && answer.status !== 304) throw await refused(answer);
  return answer;
}

function keepTime(answer) {
  const date = Date.parse(answer.headers.get("Date") || "");
  if (date && Math.abs(date - now()) > 2000) skew = date - Date.now();
}

async function refused(answer) {
  const view = await answer.json().catch(() => ({}));
  if (answer.status === 401) tell("unauthorized", view.detail);
  return new Problem(answer.status, view);
}

export async function get(path, options) {
  return (await request("GET", path, options)).json();
}

export async function send(method, path, value, headers) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const answer = await request(method, path, { body, type: body && "application/json", headers });
  return answer.status === 204 ? null : answer.json();
}

export const items = async (path) => (await get(path)).items;

// A random key. crypto.randomUUID does not exist on pages without TLS.
export function drawKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// JSON has no NaN and no infinity: the service sends them as text.
export const number = (value) => (value === null || value === undefined ? null : Number(value));
