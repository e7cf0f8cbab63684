// The job that a job was made from, and the jobs that were made from it.
import { whole } from "../core/format.js";
import { html } from "../core/html.js";
import { at } from "../core/root.js";

export function sourceOf({ source }) {
  if (!source) return null;
  const { checkpoint } = source;
  const how = checkpoint ? `, ${checkpoint.role ? `${checkpoint.role} checkpoint, ` : ""}step ${whole(checkpoint.global_step)}` : ", a clone";
  return html`${source.deleted ? `${source.name} (deleted)` : html`<a href=${at(`/jobs/${source.job}`)}>${source.name}</a>`}${how}`;
}

export const childrenOf = (children) => html`${children.map((one, k) => html`${k ? ", " : ""}<a href=${at(`/jobs/${one.id}`)}>${one.name}</a>`)}`;
