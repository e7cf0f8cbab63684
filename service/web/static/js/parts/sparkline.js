// A curve as small as a word. points: [[epoch, value], ...].
import { html, svg, nothing } from "../core/html.js";
import { number } from "../core/api.js";
import { metric as shown, plural, words } from "../core/format.js";

const [WIDTH, HEIGHT, EDGE] = [120, 28, 3];

export function sparkline(points, name) {
  const known = (points || []).map(([epoch, value]) => [epoch, number(value)]).filter(([, value]) => Number.isFinite(value));
  if (!known.length) return html`<span class="faint" aria-label="no epoch yet">–</span>`;
  const [x, y] = scales(known);
  const path = known.map(([epoch, value], k) => `${k ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const [epoch, value] = known.at(-1);
  const said = `${words(name)} over ${plural(epoch, "epoch")}, now ${shown(name, value)}`;
  return html`<svg class="spark" role="img" aria-label=${said} viewBox="0 0 ${WIDTH} ${HEIGHT}" width=${WIDTH} height=${HEIGHT}>
    <title>${said}</title>
    ${known.length > 1 ? svg`<path d=${path} />` : nothing}
    <circle cx=${x(epoch)} cy=${y(value)} r="2.2" />
  </svg>`;
}

function scales(points) {
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const across = (epoch) => EDGE + ((WIDTH - 2 * EDGE) * (epoch - first)) / (last - first || 1);
  const up = (value) => HEIGHT - EDGE - ((HEIGHT - 2 * EDGE) * (value - low)) / (high - low || 1);
  return [last === first ? () => WIDTH - EDGE : across, high === low ? () => HEIGHT / 2 : up];
}
