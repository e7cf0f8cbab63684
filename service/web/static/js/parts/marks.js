// Stages on a chart as bands with their names, interruptions as dashed lines.

// bands: [{begin, end, name}] in the units of x.
export function drawBands(plot, bands, ink, font) {
  const { ctx, bbox } = plot;
  ctx.save();
  clip(ctx, bbox, plot);
  bands.forEach((band, k) => {
    const [left, right] = [band.begin, band.end].map((value) => plot.valToPos(value, "x", true));
    if (k % 2) {
      ctx.fillStyle = ink.stage;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    name(ctx, band.name, left, right, bbox, ink, font);
  });
  ctx.restore();
}

function clip(ctx, bbox) {
  ctx.beginPath();
  ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
  ctx.clip();
}

function name(ctx, text, left, right, bbox, ink, font) {
  const ratio = devicePixelRatio || 1;
  ctx.font = font.replace(/^\d+/, (size) => size * ratio);
  ctx.fillStyle = ink.soft;
  ctx.textBaseline = "bottom";
  ctx.textAlign = "left";
  const from = Math.max(left, bbox.left) + 3 * ratio;
  const room = Math.min(right, bbox.left + bbox.width) - from;
  let short = text;
  while (short && ctx.measureText(short === text ? text : `${short}…`).width > room) short = short.slice(0, -1);
  if (short.length > 1) ctx.fillText(short === text ? text : `${short}…`, from, bbox.top - 3 * ratio);
}

// marks: [{at, kind}]. A triangle at each line distinguishes it from a stage's edge.
export function drawMarks(plot, marks, ink) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  clip(ctx, bbox);
  for (const mark of marks) {
    const x = plot.valToPos(mark.at, "x", true);
    ctx.strokeStyle = ctx.fillStyle = mark.kind === "paused" ? ink.soft : ink.preempted;
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(x - 4 * ratio, bbox.top);
    ctx.lineTo(x + 4 * ratio, bbox.top);
    ctx.lineTo(x, bbox.top + 6 * ratio);
    ctx.fill();
  }
  ctx.restore();
}
