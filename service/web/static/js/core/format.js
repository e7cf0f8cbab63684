// Numbers, times and sizes as text for people.
import { now } from "./api.js";

const DASH = "–";
const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return DASH;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const first = UNITS.findIndex(([, size]) => Math.round(seconds) >= size);
  const [unit, size] = UNITS[first];
  const [smaller, part] = UNITS[first + 1] || UNITS[first];
  let whole = Math.floor(seconds / size);
  let rest = Math.round((seconds - whole * size) / part);
  if (rest * part >= size) [whole, rest] = [whole + 1, 0];
  return rest ? `${whole} ${unit} ${rest} ${smaller}` : `${whole} ${unit}`;
}

export const seconds = (text) => (text ? Date.parse(text) / 1000 : null);
export const between = (begun, ended) => (begun ? (ended ? Date.parse(ended) : now()) / 1000 - seconds(begun) : null);

export const left = (text) => duration(Math.max(0, -between(text, null)));

export function ago(text) {
  if (!text) return DASH;
  const passed = Math.max(0, between(text, null));
  if (passed < 5) return "just now";
  if (passed < 86_400 * 3) return `${short(passed)} ago`;
  return new Date(text).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

// Only the greatest unit: more precision does not matter for an age.
export function short(passed) {
  if (passed < 1) return duration(passed);
  const [unit, size] = UNITS.find(([, one]) => passed >= one);
  return `${Math.floor(passed / size)} ${unit}`;
}

export const moment = (text) =>
  text
    ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })
    : DASH;
// The time of day, with the date if it is not today.
export function when(text) {
  const [at, today] = [new Date(text), new Date(now())];
  const day = at.toDateString() === today.toDateString() ? "" : `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })} `;
  return day + at.toLocaleTimeString(undefined, { hour12: false });
}

export function bytes(count) {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let [value, name] = [count, 0];
  while (value >= 1000 && name < names.length - 1) [value, name] = [value / 1000, name + 1];
  return `${name && value < 100 ? value.toFixed(1) : Math.round(value)} ${names[name]}`;
}

export const whole = (value) =>
  value === null || value === undefined ? DASH : Math.round(value).toLocaleString("en").replaceAll(",", " ");
export const percent = (share, digits = 1) =>
  share === null || share === undefined || !Number.isFinite(share) ? DASH : `${(100 * share).toFixed(digits)} %`;

// A percentage at an axis with a distance of `step` between its ticks.
export const percentTick = (share, step) => percent(share, step >= 0.01 ? 0 : step >= 0.001 ? 1 : 2);

export function real(value) {
  if (value === null || value === undefined) return DASH;
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  return Number(value.toPrecision(4)).toString();
}

const SHARES = /accuracy|top5|_f1$/;
export const isShare = (name) => SHARES.test(name);
// A program may count an accuracy in percent, so only values up to 1 are shares.
export const metric = (name, value) => (isShare(name) && !(Math.abs(value) > 1) ? percent(value, 2) : real(value));
export const words = (name) => name.replaceAll("_", " ").replace(/^val /, "validation ");
export const hours = (value) => value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
// Amounts come as text with six decimals.
export const money = (text, currency) => [Number(text).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }), currency].filter(Boolean).join(" ");
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
