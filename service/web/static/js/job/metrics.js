// The metrics in the rows of a history, and the charts that show them.
import { number } from "../core/api.js";
import { isShare, metric as shown, percent, percentTick, real, whole, words } from "../core/format.js";

const TRAINING = { name: "training", colour: "second", width: 1.5 };
const VALIDATION = { name: "validation", colour: "accent" };
const OF_CLASSIFIER = {
  loss: { label: "Loss", series: [TRAINING, VALIDATION], columns: ["loss", "val_loss"], show: real },
  accuracy: { label: "Accuracy", series: [TRAINING, VALIDATION], columns: ["accuracy", "val_accuracy"], show: (value) => percent(value, 2), tick: percentTick },
  learning_rate: { label: "Learning rate", series: [{ name: "learning rate", colour: "accent" }], columns: ["learning_rate"], show: real },
  images_per_second: { label: "Images per second", series: [{ name: "images/s", colour: "accent" }], columns: ["images_per_second"], show: whole },
};

export const isClassifier = (history) => (history[0]?.image_size ?? null) !== null;

// The value of a metric, or of a field such as learning_rate. null: the row does not have it.
export const valueOf = (row, name) => number(row.metrics?.[name] ?? row[name]);

// The names of all metrics, in the order in which the rows have them.
export function namesOf(history) {
  const found = new Set();
  for (const row of history) for (const name of Object.keys(row.metrics || {})) found.add(name);
  return [...found];
}

// The metrics without the four that an image classifier has in all rows.
export function othersOf(history) {
  const known = isClassifier(history) ? new Set(["loss", "accuracy", "val_loss", "val_accuracy"]) : new Set();
  return namesOf(history).filter((name) => !known.has(name));
}

// {name: chart}. A metric and its validation, such as dice and val_dice, share a chart.
export function chartsOf(history) {
  const charts = isClassifier(history) ? { ...OF_CLASSIFIER } : {};
  const names = new Set(othersOf(history));
  for (const name of names) {
    const trained = name.replace(/^val_/, "");
    if (trained !== name && names.has(trained)) continue;
    const columns = names.has(`val_${name}`) ? [name, `val_${name}`] : [name];
    charts[name] = chart(name, columns, history);
  }
  return charts;
}

function chart(name, columns, history) {
  const series = columns.length > 1 ? [TRAINING, VALIDATION] : [{ name: words(name), colour: "accent" }];
  // A program may count an accuracy in percent.
  const share = isShare(name) && history.every((row) => columns.every((column) => !(Math.abs(valueOf(row, column)) > 1)));
  return { label: capital(words(name)), series, columns, show: (value) => shown(name, value), tick: share ? percentTick : real };
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
