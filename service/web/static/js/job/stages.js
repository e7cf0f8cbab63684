// The stages: the settings of each, and its result.
import { number } from "../core/api.js";
import { between, duration, percent } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";

const COLUMNS = ["#", "Stage", "State", "Epochs", "Image size", "Batch", "Best validation accuracy", "Published", "Took"];
const NUMBERS = new Set(["#", "Epochs", "Image size", "Batch", "Best validation accuracy", "Published", "Took"]);

// A program has no stages.
export const stages = ({ job, stages: all, history }) =>
  job.spec.program
    ? nothing
    : html`<section><h2>Stages</h2>
        ${table("Stages", COLUMNS.map((title) => ({ title, number: NUMBERS.has(title) })), all.map((stage) => row(stage, job, history)))}
      </section>`;

function row(stage, job, history) {
  const reached = history.filter((one) => one.stage === stage.stage).map((one) => number(one.val_accuracy)).filter(Number.isFinite);
  const published = job.spec.stages?.[stage.stage - 1]?.published;
  return html`<tr>
    <td class="n">${stage.stage}</td>
    <th scope="row">${stage.name}</th>
    <td>${badge(stage.state)}</td>
    <td class="n">${stage.epochs_done}/${stage.epochs}</td>
    <td class="n">${stage.image_size} px</td>
    <td class="n">${stage.batch_size}</td>
    <td class="n">${reached.length ? percent(Math.max(...reached), 2) : "–"}</td>
    <td class="n">${percent(published?.best_val_accuracy ?? published?.val_accuracy ?? null, 2)}</td>
    <td class="n">${duration(between(stage.started_at, stage.finished_at))}</td>
  </tr>`;
}
