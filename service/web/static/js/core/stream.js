// The live events of a job. EventSource is not used: it receives only kinds that are known beforehand, but workers may
// add kinds. It also keeps one of the browser's six connections for each hidden page.
import { request } from "./api.js";

const PAUSES = [1000, 2000, 4000, 8000, 15_000];
const SILENCE = 45_000;

// Calls `heard(event)` for each event after number `after`, and `complete()` after the last one. Ends then, or when the
// returned function is called.
export function follow(jobId, after, heard, complete = () => {}) {
  let last = after;
  let over = false;
  let failures = 0;
  let timer = null;
  let current = null;

  async function connect() {
    clearTimeout(timer);
    if (over || current || document.hidden) return;
    current = new AbortController();
    try {
      over = await read(current);
      if (over) complete();
      failures = 0;
    } catch (error) {
      over = over || [401, 403, 404].includes(error.status);
      failures += 1;
    }
    current = null;
    if (!over && !document.hidden) timer = setTimeout(connect, PAUSES[Math.min(failures, PAUSES.length) - 1] ?? 500);
  }

  async function read(controller) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": String(last) };
    const answer = await request("GET", `/v1/jobs/${jobId}/events`, { headers, signal: controller.signal });
    if (answer.status === 204) return true;
    let ended = false;
    for await (const frame of frames(answer.body, controller)) {
      failures = 0;
      if (frame.event === "end") ended = true;
      else if (frame.id && Number(frame.id) > last) {
        last = Number(frame.id);
        heard(JSON.parse(frame.data));
      }
    }
    return ended;
  }

  const seen = () => (document.hidden ? current?.abort() : connect());
  document.addEventListener("visibilitychange", seen);
  connect();
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    current?.abort();
  };
}

// Frames of a text/event-stream (WHATWG HTML, 9.2). A stream without any data for SILENCE is closed.
async function* frames(body, controller) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const silent = setTimeout(() => controller.abort(), SILENCE);
    const { done, value } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    const parts = (rest + value).replace(/\r\n/g, "\n").split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield frame(part);
  }
}

function frame(text) {
  const found = { data: "" };
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) || [];
    if (name === "data") found.data += (found.data && "\n") + value;
    else if (name) found[name] = value;
  }
  return found;
}
