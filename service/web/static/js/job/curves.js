// The live curves of a job, and the same numbers as a table.
import { number } from "../core/api.js";
import { duration, metric as shown, moment, percent, real, whole, words } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { at } from "../core/root.js";
import { Chart } from "../parts/chart.js";
import { table } from "../parts/table.js";
import { AXES, course } from "./course.js";
import { chartsOf, isClassifier, othersOf, valueOf } from "./metrics.js";

const SHOWN = 8; // a program may have 200 metrics
const ROWS = 500;

export class Curves {
  constructor(draw) {
    this.draw = draw;
    this.axis = "epoch";
    this.log = new Set(["learning_rate"]);
    this.charts = new Map();
    this.chosen = new Map(); // name of a chart -> whether the user wants it
    this.open = false;
  }

  template(store) {
    const program = Boolean(store.job.spec.program);
    if (!store.history.length) return html`<section aria-label="Curves"><p class="empty">${program ? beforeRows(store) : "Curves appear after the first epoch."}</p></section>`;
    const charts = Object.entries(chartsOf(store.history));
    const wanted = charts.filter(([name], place) => this.chosen.get(name) ?? place < SHOWN);
    return html`<section aria-label="Curves">
      <div class="tools">
        <fieldset class="segments"><legend class="hidden">Along</legend>
          ${Object.entries(AXES).map(([name, title]) => html`<label><input type="radio" name="axis" value=${name} .checked=${this.axis === name} @change=${() => this.along(name)} />${title}</label>`)}
        </fieldset>
        <span class="key">${program ? nothing : html`<i class="key-stage"></i>stages `}<i class="key-mark"></i>interruptions</span>
      </div>
      ${charts.length > SHOWN ? this.choice(charts, wanted) : nothing}
      <div class="charts">${wanted.map(([name, chart]) => this.card(name, chart))}</div>
      <details ?open=${this.open} @toggle=${(event) => this.toggle(event.target.open)}>
        <summary>The curves as a table</summary>
        ${this.open ? rows(store.history) : nothing}
      </details>
    </section>`;
  }

  choice(charts, wanted) {
    const there = new Set(wanted.map(([name]) => name));
    return html`<details class="choice"><summary>Choose metrics: ${wanted.length} of ${charts.length} shown</summary>
      <fieldset class="tools"><legend class="hidden">Metrics</legend>
        ${charts.map(([name, chart]) => html`<label class="small"><input type="checkbox" .checked=${there.has(name)} @change=${(event) => this.choose(name, event.target.checked)} />${chart.label}</label>`)}
      </fieldset></details>`;
  }

  choose(name, wanted) {
    this.chosen.set(name, wanted);
    this.draw();
  }

  card(name, chart) {
    return html`<figure class="card">
      <figcaption><h2>${chart.label}</h2>
        <label class="small"><input type="checkbox" .checked=${this.log.has(name)} @change=${(event) => this.scale(name, event.target.checked)} />log scale</label></figcaption>
      <div class="plot" data-plot=${name}></div>
    </figure>`;
  }

  along(axis) {
    this.axis = axis;
    this.end();
    this.draw();
  }

  scale(name, log) {
    if (log) this.log.add(name);
    else this.log.delete(name);
    this.draw();
  }

  toggle(open) {
    this.open = open;
    this.draw();
  }

  // Called after each drawing, because the template creates the nodes of the charts.
  show(root, store) {
    const hosts = root.querySelectorAll("[data-plot]");
    if (!hosts.length) return this.end();
    const found = course(store, this.axis);
    const charts = chartsOf(store.history);
    for (const host of hosts) this.showOne(host, host.dataset.plot, charts[host.dataset.plot], store, found);
    return undefined;
  }

  showOne(host, name, chart, store, found) {
    const log = this.log.has(name);
    const before = this.charts.get(name);
    if (before?.host !== host || String(before.options.columns) !== String(chart.columns)) {
      before?.destroy();
      this.charts.set(name, new Chart(host, { ...chart, log, across: found.show, unit: found.unit, sync: store.id }));
    }
    const ys = chart.columns.map((column) => store.history.map((row) => finite(valueOf(row, column), log)));
    this.charts.get(name).update({ ...found, ys }, log);
  }

  end() {
    for (const chart of this.charts.values()) chart.destroy();
    this.charts.clear();
  }
}

const beforeRows = ({ id }) => html`Curves appear after the first <code>run.epoch()</code>. What <code>run.log()</code> records is below <a href=${at(`/jobs/${id}/series`)}>Series</a>.`;

// Values that cannot be drawn leave a gap, such as 0 on a logarithmic scale.
const finite = (value, log) => (Number.isFinite(value) && (!log || value > 0) ? value : null);

const share = (value) => percent(value, 2);
// [title, text of a row] of each column. All but the last contain numbers.
const FIRST = [["Epoch", (row) => row.epoch], ["Stage", (row) => row.stage], ["Step", (row) => whole(row.global_step)]];
const OF_CLASSIFIER = [
  ["Loss", (row) => real(number(row.loss))], ["Accuracy", (row) => share(number(row.accuracy))],
  ["Validation loss", (row) => real(number(row.val_loss))], ["Validation accuracy", (row) => share(number(row.val_accuracy))],
  ["Learning rate", (row) => real(number(row.learning_rate))], ["Images/s", (row) => whole(number(row.images_per_second))],
];
const LAST = [["Took", (row) => duration(number(row.seconds))], ["Attempt", (row) => row.attempt], ["Finished", (row) => moment(row.finished_at)]];

function rows(history) {
  const metrics = othersOf(history).map((name) => [words(name), (row) => shown(name, valueOf(row, name))]);
  const columns = isClassifier(history) ? [...FIRST, ...OF_CLASSIFIER, ...metrics, ...LAST] : [FIRST[0], FIRST[2], ...metrics, ...LAST];
  const titles = columns.map(([title], place) => ({ title, number: place < columns.length - 1 }));
  return html`${history.length > ROWS ? html`<p class="soft">The newest ${ROWS} of ${history.length} rows; <code>baton history --csv</code> shows all of them.</p>` : nothing}
    ${table("Epochs", titles, history.slice(-ROWS).reverse().map((row) => line(row, columns)))}`;
}

const line = (row, columns) => html`<tr>${columns.map(([, text], place) => html`<td class=${place < columns.length - 1 ? "n" : ""}>${text(row)}</td>`)}</tr>`;
