// One series of several jobs on a common axis of steps, for the comparison. System metrics have no steps in common.
import { get, items, number } from "../core/api.js";
import { isSystem } from "../job/series.js";

const POINTS = 400;

export class SeriesOfJobs {
  constructor(ids) {
    Object.assign(this, { ids, names: [], lists: [], shown: "", points: new Map() });
  }

  // Loads the names, and the points of the series `shown`, if one is chosen.
  async load() {
    const { shown } = this;
    this.lists = await Promise.all(this.ids.map((id) => items(`/v1/jobs/${id}/series`)));
    this.names = [...new Set(this.lists.flat().map((one) => one.name))].filter((name) => !isSystem(name)).sort();
    if (!shown) return;
    const query = `points=${POINTS}&name=${encodeURIComponent(shown)}`;
    const having = this.ids.filter((_, k) => this.lists[k].some((one) => one.name === shown));
    const found = await Promise.all(having.map((id) => get(`/v1/jobs/${id}/series?${query}`)));
    if (shown === this.shown) this.points = new Map(having.map((id, k) => [id, found[k].items[0].points]));
  }

  choose(name) {
    this.shown = name;
    this.points = new Map();
  }

  data() {
    const all = this.ids.map((id) => new Map((this.points.get(id) || []).map(([step, value]) => [step, number(value)])));
    const x = [...new Set(all.flatMap((one) => [...one.keys()]))].sort((a, b) => a - b);
    return { x, ys: all.map((one) => x.map((step) => (Number.isFinite(one.get(step)) ? one.get(step) : null))), from: 0 };
  }
}
