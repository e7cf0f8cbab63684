// A plan's spec as fields of a form, and the changes that the user made. A field's name is its path in the spec.

const GENERAL = ["name", "seed", "queue", "priority", "precision", "deterministic", "labels"];
const DEFAULTS = { queue: "default", priority: "normal", labels: {} };
const LEFT_OUT = new Set(["published", "source", "stages"]);
export const CHOICES = { priority: ["high", "normal", "low"], precision: ["float32", "bfloat16"] };

// [{title, fields: [{path, label, type, initial}]}]; `missing`: fields that the plan leaves to the user.
export function sections(plan) {
  const spec = { ...DEFAULTS, seed: plan.seed, precision: plan.precision, ...plan.spec };
  const general = GENERAL.filter((name) => spec[name] !== null && spec[name] !== undefined).map((name) => field(name, name, spec[name]));
  const rest = Object.keys(spec).filter((name) => !GENERAL.includes(name) && !LEFT_OUT.has(name));
  const found = [{ title: "General", fields: general }, ...rest.map((name) => section(name, spec[name], name))];
  const stages = (spec.stages || []).map((stage, k) => section(`Stage ${k + 1}${stage.name ? `: ${stage.name}` : ""}`, stage, `stages.${k}`));
  return withMissing([...found, ...stages], plan.missing);
}

function section(title, value, path) {
  const below = isMap(value) ? leaves(value, path) : [field(path, path, value)];
  return { title: title[0].toUpperCase() + title.slice(1), path, fields: below };
}

function leaves(map, path) {
  return Object.entries(map)
    .filter(([name]) => !LEFT_OUT.has(name))
    .flatMap(([name, value]) => (isMap(value) ? leaves(value, `${path}.${name}`) : [field(`${path}.${name}`, name, value, path)]));
}

function field(path, name, value, parent = "") {
  const group = parent.split(".").at(-1);
  const label = parent.split(".").length > (parent.startsWith("stages.") ? 2 : 1) ? `${group} ${name}` : name;
  return { path, label: label.replaceAll("_", " "), type: typeOf(path, value), initial: textOf(path, value) };
}

function withMissing(found, missing) {
  const known = new Set(found.flatMap((one) => one.fields.map((each) => each.path)));
  for (const { field: path } of missing.filter((one) => !known.has(one.field))) {
    const home = found.find((one) => one.path && path.startsWith(`${one.path}.`)) || found[0];
    home.fields.push({ path, label: path.split(".").at(-1), type: "text", initial: "" });
  }
  return found;
}

const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const typeOf = (path, value) => (path === "labels" ? "labels" : typeof value === "number" ? "number" : typeof value === "string" ? "text" : "json");

function textOf(path, value) {
  if (path === "labels") return Object.entries(value).map(([key, one]) => `${key}=${one}`).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

// The value of a field's text. An empty text removes the field.
export function valueOf(type, text) {
  const trimmed = text.trim();
  if (type === "labels") return labelsOf(trimmed);
  if (trimmed === "") return null;
  return type === "text" ? trimmed : parsed(trimmed);
}

// Like `--set`, simplified: JSON if it is valid JSON, else text.
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function labelsOf(text) {
  const pairs = text.split(",").map((one) => one.trim()).filter(Boolean);
  return Object.fromEntries(pairs.map((one) => [one.split("=")[0].trim(), one.split("=").slice(1).join("=").trim()]));
}

// {path: value} of the fields that were changed, and of the rows that were added.
export function changes(plan, values, rows) {
  const set = {};
  for (const one of sections(plan).flatMap((found) => found.fields)) {
    const text = values.get(one.path);
    if (text !== undefined && text !== one.initial) set[one.path] = valueOf(one.type, text);
  }
  for (const row of rows) if (row.path.trim() && row.value.trim()) set[row.path.trim()] = parsed(row.value.trim());
  return set;
}

// Errors by the path of the field that shows them. Errors without a field are under "".
export function placed(errors, paths) {
  const found = new Map();
  for (const { field: path, message } of errors) {
    const home = paths.filter((one) => path === one || path.startsWith(`${one}.`)).sort((a, b) => b.length - a.length)[0];
    const text = home === path ? message : `${path}: ${message}`;
    found.set(home ?? "", [...(found.get(home ?? "") || []), text]);
  }
  return found;
}
