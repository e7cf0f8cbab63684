// The live output of an attempt's training process.
import { request } from "../core/api.js";
import { html, live } from "../core/html.js";
import { poll } from "../core/live.js";
import { at } from "../core/root.js";
import { empty } from "../parts/table.js";

const EVERY = 2000;
const TAIL = 128 << 10;
const SHOWN = 2 << 20; // characters; older ones are removed from the page
const END = 2 ** 53; // beyond any log: the service answers with the end of the log
// Colours and cursor moves of terminals (ECMA-48), which the page does not show.
const CONTROLS = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])/g;

export class Logs {
  constructor(draw) {
    this.draw = draw;
    this.chosen = null;
    this.asking = null;
    this.shown = null;
    this.follow = true;
  }

  choose(number) {
    this.chosen = number;
    this.draw();
  }

  template(store) {
    const claimed = store.attempts.filter((one) => one.claimed_at);
    if (!claimed.length) return empty("No worker has claimed this job yet.");
    const newest = claimed.at(-1).attempt;
    const number = claimed.some((one) => one.attempt === this.chosen) ? this.chosen : newest;
    this.number = number;
    return html`<section>
      <div class="tools">
        <label>Attempt <select @change=${(event) => this.choose(event.target.value === "newest" ? null : Number(event.target.value))}>
          <option value="newest" ?selected=${this.chosen === null}>newest (${newest})</option>
          ${claimed.toReversed().map((one) => html`<option value=${one.attempt} ?selected=${this.chosen === one.attempt}>${one.attempt}: ${one.state}, ${one.worker}</option>`)}
        </select></label>
        <label class="small"><input type="checkbox" .checked=${live(this.follow)} @change=${(event) => this.scroll(event.target.checked)} />follow</label>
        <a class="button quiet" href=${at(`/v1/jobs/${store.id}/attempts/${number}/log`)} target="_blank" rel="noopener">Whole log</a>
        <span class="soft small" role="status">${this.shown?.number === number ? this.said() : ""}</span>
      </div>
      <pre class="log" tabindex="0" role="log" aria-live="off" aria-label=${`Log of attempt ${number}`} data-log></pre>
    </section>`;
  }

  said() {
    const { shown } = this;
    const cut = shown.from ? "The beginning is not shown. " : "";
    if (shown.error) return shown.error;
    return cut + (shown.complete ? "Complete." : shown.lines ? "Live." : "Nothing printed yet.");
  }

  show(root, store) {
    const host = root.querySelector("[data-log]");
    if (!host) return this.end();
    if (this.shown?.number === this.number && this.shown.host === host) return undefined;
    this.end();
    host.replaceChildren();
    this.shown = { number: this.number, host, offset: null, from: 0, lines: 0, rest: "", complete: false, error: "" };
    this.shown.decoder = new TextDecoder();
    this.shown.tail = host.appendChild(document.createTextNode(""));
    const { shown } = this;
    this.asking = poll(() => this.load(shown, `/v1/jobs/${store.id}/attempts/${shown.number}/log`), EVERY);
    return undefined;
  }

  async load(shown, path) {
    try {
      if (shown.offset === null) await this.seek(shown, path);
      await this.read(shown, path);
      shown.error = "";
    } catch (error) {
      shown.error = error.message;
      throw error;
    } finally {
      this.draw();
    }
    return !shown.complete && shown === this.shown;
  }

  async seek(shown, path) {
    const answer = await request("GET", `${path}?offset=${END}`, { headers: { Accept: "text/plain" } });
    shown.offset = shown.from = Math.max(0, Number(answer.headers.get("Baton-Next-Offset")) - TAIL);
  }

  async read(shown, path) {
    for (;;) {
      const answer = await request("GET", `${path}?offset=${shown.offset}`, { headers: { Accept: "text/plain" } });
      const content = await answer.arrayBuffer();
      if (shown !== this.shown) return;
      shown.offset = Number(answer.headers.get("Baton-Next-Offset"));
      shown.complete = answer.headers.get("Baton-Complete") === "true";
      this.append(shown, shown.decoder.decode(content, { stream: !shown.complete }));
      if (!content.byteLength || shown.complete) return;
    }
  }

  append(shown, text) {
    if (!text) return;
    const lines = (shown.rest + text).split("\n");
    if (shown.from && !shown.lines && lines.length > 1) lines.shift(); // its beginning may be missing
    shown.rest = lines.pop();
    shown.lines += lines.length;
    const { host, tail } = shown;
    if (lines.length) host.insertBefore(document.createTextNode(lines.map((line) => `${plain(line)}\n`).join("")), tail);
    tail.data = plain(shown.rest);
    while (host.textContent.length > SHOWN && host.childNodes.length > 2) host.firstChild.remove();
    if (this.follow) host.scrollTop = host.scrollHeight;
  }

  scroll(follow) {
    this.follow = follow;
    if (follow && this.shown) this.shown.host.scrollTop = this.shown.host.scrollHeight;
    this.draw();
  }

  end() {
    this.asking?.stop();
    this.asking = this.shown = null;
  }
}

// A line as a terminal would show it in the end: a progress bar overwrites itself.
const plain = (line) => line.replace(CONTROLS, "").replace(/\r+$/, "").replace(/^.*\r/s, "");

