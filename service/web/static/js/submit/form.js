// The form of a plan: all fields of its spec, and rows for additional fields.
import { html, live, nothing } from "../core/html.js";
import { CHOICES, sections } from "./fields.js";

export function planForm(state, actions) {
  const { plan, values, errors } = state;
  const found = sections(plan);
  return html`${found.map((one, k) => section(one, k === 0 || has(one, state) || (!one.path?.startsWith("stages.") && k < 3), values, errors, actions))}
    ${rows(state, actions)}`;
}

const has = (one, { errors, values }) => one.fields.some((field) => errors.has(field.path) || (values.has(field.path) && values.get(field.path) !== field.initial));

const section = (one, open, values, errors, actions) => html`<details class="section" ?open=${open}>
  <summary>${one.title}</summary>
  <div class="fields">${one.fields.map((field) => row(field, values.get(field.path) ?? field.initial, errors.get(field.path), actions))}</div>
</details>`;

function row(field, text, errors, actions) {
  const id = `field-${field.path}`;
  return html`<div class="field" data-changed=${text !== field.initial ? "yes" : "no"}>
    <label for=${id} title=${field.path}>${field.label}</label>
    ${control(field, id, text, errors, actions)} ${problem(id, errors)}
  </div>`;
}

export const problem = (id, errors) => html`<p class="error" id=${`${id}-error`}>${errors ? errors.join("; ") : ""}</p>`;

function control(field, id, text, errors, actions) {
  // Stored at each key press, so that a redraw does not remove it. Validated at the `change` event.
  const type = (event) => actions.type(field.path, event.target.value);
  const choices = CHOICES[field.path];
  if (choices) {
    return html`<select id=${id} name=${field.path} aria-invalid=${errors ? "true" : "false"} aria-describedby=${`${id}-error`} @input=${type} @change=${actions.look}>
      ${choices.map((one) => html`<option ?selected=${one === text}>${one}</option>`)}</select>`;
  }
  return html`<input id=${id} name=${field.path} .value=${live(text)} inputmode=${field.type === "number" ? "decimal" : nothing} spellcheck="false" autocomplete="off"
    placeholder=${field.type === "labels" ? "team=vision, user=ada" : ""} aria-invalid=${errors ? "true" : "false"} aria-describedby=${`${id}-error`} @input=${type} @change=${actions.look} />`;
}

const rows = (state, actions) => html`<details class="section" ?open=${state.rows.length > 0}>
  <summary>Other fields</summary>
  <p class="soft small">Paths as for <code>--set</code>: <code>stages.*.epochs</code>, <code>network.dropout</code>. The value <code>null</code> removes the field.</p>
  ${state.rows.map((one, k) => other(one, k, state.errors.get(one.path), actions))}
  <button type="button" class="button" @click=${actions.add}>Add a field</button>
</details>`;

function other(one, k, errors, actions) {
  const id = `other-${k}`;
  const input = (name, title) => html`<input name=${`${name}-${k}`} aria-label=${title} placeholder=${title} spellcheck="false" autocomplete="off" .value=${live(one[name])}
    aria-invalid=${errors ? "true" : "false"} aria-describedby=${`${id}-error`} @input=${(event) => actions.edit(k, { [name]: event.target.value })} @change=${actions.look} />`;
  return html`<div class="field other">${input("path", "Path")} ${input("value", "Value")}
    <button type="button" class="button quiet" aria-label=${`Remove ${one.path || "this field"}`} @click=${() => actions.remove(k)}>✕</button>
    ${problem(id, errors)}</div>`;
}
