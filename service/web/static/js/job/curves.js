// The live curves of a job, and the same numbers as a table.
import { number } from "../core/api.js";
import { duration, moment, percent, percentTick, real, whole } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { Chart } from "../parts/chart.js";
import { table } from "../parts/table.js";
import { AXES, course } from "./course.js";

const TRAINING = { name: "training", colour: "second", width: 1.5 };
const VALIDATION = { name: "validation", colour: "accent" };
const CHARTS = {
  loss: { label: "Loss", series: [TRAINING, VALIDATION], columns: ["loss", "val_loss"], show: real },
  accuracy: { label: "Accuracy", series: [TRAINING, VALIDATION], columns: ["accuracy", "val_accuracy"], show: (value) => percent(value, 2), tick: percentTick },
  learning_rate: { label: "Learning rate", series: [{ name: "learning rate", colour: "accent" }], columns: ["learning_rate"], show: real },
  images_per_second: { label: "Images per second", series: [{ name: "images/s", colour: "accent" }], columns: ["images_per_second"], show: whole },
};
const ROWS = 500;

export class Curves {
  constructor(draw) {
    this.draw = draw;
    this.axis = "epoch";
    this.log = new Set(["learning_rate"]);
    this.charts = new Map();
    this.open = false;
  }

  template(store) {
    if (!store.history.length) return html`<section aria-label="Curves"><p class="empty">Curves appear after the first epoch.</p></section>`;
    return html`<section aria-label="Curves">
      <div class="tools">
        <fieldset class="segments"><legend class="hidden">Along</legend>
          ${Object.entries(AXES).map(([name, title]) => html`<label><input type="radio" name="axis" value=${name} .checked=${this.axis === name} @change=${() => this.along(name)} />${title}</label>`)}
        </fieldset>
        <span class="key"><i class="key-stage"></i>stages <i class="key-mark"></i>interruptions</span>
      </div>
      <div class="charts">${Object.entries(CHARTS).map(([name, chart]) => this.card(name, chart))}</div>
      <details ?open=${this.open} @toggle=${(event) => this.toggle(event.target.open)}>
        <summary>The curves as a table</summary>
        ${this.open ? rows(store.history) : nothing}
      </details>
    </section>`;
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
    for (const host of hosts) this.showOne(host, store, found);
    return undefined;
  }

  showOne(host, store, found) {
    const name = host.dataset.plot;
    const chart = CHARTS[name];
    const log = this.log.has(name);
    if (this.charts.get(name)?.host !== host) {
      this.charts.get(name)?.destroy();
      this.charts.set(name, new Chart(host, { ...chart, log, across: found.show, unit: found.unit, sync: store.id }));
    }
    const ys = chart.columns.map((column) => store.history.map((row) => finite(number(row[column]), log)));
    this.charts.get(name).update({ ...found, ys }, log);
  }

  end() {
    for (const chart of this.charts.values()) chart.destroy();
    this.charts.clear();
  }
}

// Values that cannot be drawn leave a gap, such as 0 on a logarithmic scale.
const finite = (value, log) => (Number.isFinite(value) && (!log || value > 0) ? value : null);

const COLUMNS = ["Epoch", "Stage", "Step", "Loss", "Accuracy", "Validation loss", "Validation accuracy", "Learning rate", "Images/s", "Took", "Attempt", "Finished"];

function rows(history) {
  const shown = history.slice(-ROWS).reverse();
  return html`${history.length > ROWS ? html`<p class="soft">The newest ${ROWS} of ${history.length} rows; history.csv has all of them.</p>` : nothing}
    ${table("Epochs", COLUMNS.map((title, k) => ({ title, number: k < 11 })), shown.map(row))}`;
}

const row = (one) => html`<tr>
  <td class="n">${one.epoch}</td><td class="n">${one.stage}</td><td class="n">${whole(one.global_step)}</td>
  <td class="n">${real(number(one.loss))}</td><td class="n">${percent(number(one.accuracy), 2)}</td>
  <td class="n">${real(number(one.val_loss))}</td><td class="n">${percent(number(one.val_accuracy), 2)}</td>
  <td class="n">${real(number(one.learning_rate))}</td><td class="n">${whole(number(one.images_per_second))}</td>
  <td class="n">${duration(number(one.seconds))}</td><td class="n">${one.attempt}</td><td>${moment(one.finished_at)}</td>
</tr>`;
