// The events of a job, newest first.
import { moment, when, words } from "../core/format.js";
import { html, nothing, repeat } from "../core/html.js";
import { empty, table } from "../parts/table.js";

const ROUTINE = new Set(["epoch", "checkpoint", "artifact", "dispatched"]);
const COLUMNS = [{ title: "#", number: true }, { title: "When", number: true }, "What", "Who", "Message"];

export class Events {
  constructor(draw) {
    this.draw = draw;
    this.all = false;
  }

  template(store) {
    const shown = store.events.filter((event) => this.all || !ROUTINE.has(event.kind)).reverse();
    return html`<section>
      <div class="tools">
        <label class="small"><input type="checkbox" .checked=${this.all} @change=${(event) => this.show(event.target.checked)} />epochs, checkpoints and artifacts too</label>
        <span class="soft small">${store.job.events} events</span>
      </div>
      ${shown.length ? table("Events", COLUMNS, repeat(shown, (event) => event.sequence, row)) : empty(store.events.length || !store.complete ? "No such event among the newest events." : "The events of this job were deleted.")}
      ${store.first > 1 ? html`<button class="button" @click=${() => store.loadEarlier()}>Earlier events</button>` : nothing}
    </section>`;
  }

  show(all) {
    this.all = all;
    this.draw();
  }
}

const row = (event) => html`<tr data-kind=${event.kind}>
  <td class="n">${event.sequence}</td>
  <td class="n" title=${moment(event.at)}><time datetime=${event.at}>${when(event.at)}</time></td>
  <td class="kind">${words(event.kind)}</td>
  <td class="actor">${event.actor}</td>
  <td class="message">${event.message}${details(event.data)}</td>
</tr>`;

function details(data) {
  const text = JSON.stringify(data);
  return text === "{}" ? nothing : html`<details><summary aria-label="Data">…</summary><code>${text}</code></details>`;
}
