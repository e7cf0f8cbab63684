// A live chart: uPlot with stages and interruptions, usable by keyboard too.
import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { colours, onScheme } from "./colours.js";
import { drawBands, drawMarks } from "./marks.js";

const HEIGHT = 220;
const decade = (value) => Math.abs(Math.log10(value) % 1) < 1e-9;
const FONT = "11px system-ui, sans-serif";

// options: {label, rest: where all values are, series: [{name, colour, dash}], log, show and across: value -> text, tick: value, step -> text, unit, sync}
// data: {x: [...], ys: [[...], ...], bands: [...], marks: [...]}
export class Chart {
  constructor(host, options) {
    this.host = host;
    this.options = options;
    this.data = null;
    this.plot = null;
    this.sizes = new ResizeObserver(() => this.resize());
    this.unhook = onScheme(() => this.build());
    host.tabIndex = 0;
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", `${options.label}. Use the arrow keys to move along the chart; ${options.rest || "the table below"} has all values.`);
    this.keys = (event) => this.key(event);
    host.addEventListener("keydown", this.keys);
    this.sizes.observe(host);
  }

  update(data, log = this.options.log) {
    const rebuild = !this.plot || log !== this.options.log || data.ys.length + 1 !== this.plot.data.length;
    this.data = data;
    this.options.log = log;
    if (rebuild) this.build();
    else this.plot.setData([data.x, ...data.ys]);
    this.rest();
  }

  build() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.data || !this.host.clientWidth) return;
    this.plot = new uPlot(this.settings(), [this.data.x, ...this.data.ys], this.host);
    this.rest();
  }

  // Without a cursor the legend shows the newest values.
  rest() {
    if (this.plot && this.plot.cursor.left < 0) this.plot.setLegend({ idx: this.data.x.length - 1 }, false);
  }

  settings() {
    const ink = colours();
    const { options } = this;
    const axis = { stroke: ink.soft, font: FONT, grid: { stroke: ink.line, width: 1 }, ticks: { show: false }, gap: 6 };
    // A logarithmic axis has grid lines only at powers of ten, because nine per decade would be too many.
    const grid = options.log ? { ...axis.grid, filter: (_, splits) => splits.map((value) => (decade(value) ? value : null)) } : axis.grid;
    const y = { ...axis, grid, size: 52, values: (_, splits, _axis, _space, step) => splits.map((value) => (value === null ? "" : (options.tick || options.show)(value, step))) };
    return {
      width: this.host.clientWidth,
      height: HEIGHT,
      padding: [18, 12, 0, 0],
      focus: { alpha: 0.35 },
      cursor: { sync: { key: options.sync, setSeries: false }, focus: { prox: 16 }, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (_, low, high) => [Math.min(low, this.data.from ?? low), high > low ? high : low + 1] }, y: { distr: options.log ? 3 : 1 } },
      axes: [{ ...axis, size: 26, values: (_, splits) => splits.map((value) => options.across(value)) }, y],
      series: [{ label: options.unit, value: (_, value) => (value === null ? "–" : options.across(value)) }, ...options.series.map((one) => this.line(one, ink))],
      hooks: {
        drawClear: [(plot) => drawBands(plot, this.data.bands || [], ink, FONT)],
        setCursor: [() => this.rest()],
        draw: [(plot) => drawMarks(plot, this.data.marks || [], ink)],
      },
    };
  }

  line(one, ink) {
    const stroke = ink[one.colour];
    const single = this.data.x.length < 40;
    return {
      label: one.name,
      stroke,
      width: one.width || 2,
      dash: one.dash,
      points: { show: single, size: 5, fill: stroke },
      spanGaps: true,
      value: (_, value) => (value === null || value === undefined ? "–" : this.options.show(value)),
    };
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.plot) return;
    event.preventDefault();
    const last = this.data.x.length - 1;
    const at = this.plot.cursor.idx ?? (step < 0 ? last + 1 : -1);
    const idx = Math.max(0, Math.min(last, at + step));
    this.plot.setCursor({ left: this.plot.valToPos(this.data.x[idx], "x"), top: 10 });
  }

  resize() {
    if (!this.plot) this.build();
    else if (this.plot.width !== this.host.clientWidth && this.host.clientWidth) {
      this.plot.setSize({ width: this.host.clientWidth, height: HEIGHT });
    }
  }

  destroy() {
    this.sizes.disconnect();
    this.unhook();
    this.host.removeEventListener("keydown", this.keys);
    this.plot?.destroy();
  }
}
