// The preview of a plan or spec: its stages and totals before the submission.
import { percent, whole } from "../core/format.js";
import { html, nothing } from "../core/html.js";
import { programFacts } from "../parts/program.js";
import { facts, table } from "../parts/table.js";

const COLUMNS = ["#", "Stage", "Size", "Batch", "Epochs", "Steps", "Augmentation", "Schedule", "Published"];
const NUMBERS = new Set(["#", "Size", "Batch", "Epochs", "Steps", "Published"]);

export function preview({ view, busy, stale }) {
  return html`<section class="preview" aria-label="Preview" aria-busy=${busy ? "true" : "false"}>
    <h2>Preview</h2>
    <p class="soft small" role="status">${busy ? "Loading…" : stale ? "Some fields are missing or invalid." : view ? "Not submitted yet." : "Choose a plan, or write a spec."}</p>
    ${view ? content(view) : nothing}
  </section>`;
}

const unknown = (value) => (value === null ? "depends on the data" : whole(value));

const content = ({ spec, totals, stages, source, published }) => html`${facts([
    ...programFacts(spec),
    ["Parameters", totals && unknown(totals.parameters)],
    ["Classes", totals && unknown(totals.classes)],
    ["Training images", totals && unknown(totals.training_images)],
    ["Stages", totals?.stages],
    ["Epochs", totals && whole(totals.epochs)],
    ["Steps", totals && unknown(totals.steps)],
    ["Images seen", totals && unknown(totals.images)],
    ["Published test accuracy", published?.test_accuracy ? percent(published.test_accuracy, 2) : null],
    ["Source", source],
  ])}
  ${spec.program ? nothing : table("Stages of the preview", COLUMNS.map((title) => ({ title, number: NUMBERS.has(title) })), stages.map(stage))}`;

const stage = (one) => html`<tr>
  <td class="n">${one.stage}</td><th scope="row">${one.name}</th>
  <td class="n">${one.image_size}</td><td class="n">${one.batch_size}</td><td class="n">${one.epochs}</td><td class="n">${one.steps === null ? "–" : whole(one.steps)}</td>
  <td>${one.augmentation}</td><td>${one.schedule.name.replaceAll("_", " ")}</td><td class="n">${percent(one.published?.best_val_accuracy ?? one.published?.val_accuracy ?? null, 1)}</td>
</tr>`;
