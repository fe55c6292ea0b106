// Grids of cells: heat maps over time, and who holds which expert.

// A colour key at the right of the plot's foot.
function drawHeatKey({ svg, theme }, left, y, from, to) {
  const wide = 96, pieces = 24, start = left + textWidth(from) + 6;
  label(svg, left, y + 9, from, { fill: theme.muted });
  for (let i = 0; i < pieces; ++i)
    draw(svg, "rect", { x: start + i * wide / pieces, y, width: wide / pieces + 0.5, height: 10, fill: heatColour(theme, (i + 0.5) / pieces) });
  label(svg, start + wide + 6, y + 9, to, { fill: theme.muted });
}

// Cells of one colour are one path: thousands of cells are a few dozen elements.
function drawCells(svg, cells, colourOf) {
  const paths = new Map();
  for (const cell of cells) {
    const colour = colourOf(cell);
    if (colour === null) continue;
    const d = `M${round(cell.x)} ${round(cell.y)}h${round(cell.w)}v${round(cell.h)}h${round(-cell.w)}z`;
    paths.set(colour, (paths.get(colour) ?? "") + d);
  }
  for (const [fill, d] of paths) draw(svg, "path", { d, fill });
}

// Neighbouring columns as their mean, so that each is at least `least` pixels wide.
function binned(columns, most) {
  const together = Math.ceil(columns.length / Math.max(1, most)), bins = [];
  for (let begin = 0; begin < columns.length; begin += together) {
    const part = columns.slice(begin, begin + together);
    bins.push({ from: part[0].x, to: part[part.length - 1].x, values: part[0].values.map((_, row) => {
      const known = part.map((column) => column.values[row]).filter(isNumber);
      return known.length ? known.reduce((a, b) => a + b) / known.length : null;
    }) });
  }
  return bins;
}

// columns: [{ x, values: one per row }]; rowNames. options: { low, high, xLabel, xFormat, yFormat,
//   rowLabel, valueLabel }.
function drawHeat(frame, columns, rowNames, options) {
  const { svg, width, height, theme } = frame;
  const top = 6, bottom = height - 58;
  const left = Math.ceil(Math.max(...rowNames.map((name) => textWidth(name))) + 12), right = width - 12;
  const bins = binned(columns, (right - left) / 5), levels = 24;
  const wide = (right - left) / Math.max(1, bins.length), high = (bottom - top) / rowNames.length;
  const gap = (size) => size >= 8 ? 1 : 0;
  const share = (value) => options.high > options.low ? (value - options.low) / (options.high - options.low) : 0;
  const rows = rowNames.map((name, row) => bins.map((bin, i) => ({ x: left + i * wide, y: top + row * high,
    w: wide - gap(wide), h: high - gap(high), value: bin.values[row],
    title: `${options.rowLabel} ${name}, ${options.xLabel} ` + options.xFormat(bin.from) + (bin.to !== bin.from ? "–" + options.xFormat(bin.to) : ""),
    lines: [{ name: options.valueLabel, value: options.yFormat(bin.values[row]) }] })));
  drawCells(svg, rows.flat(), (cell) => isNumber(cell.value)
    ? heatColour(theme, Math.round(clamp(share(cell.value), 0, 1) * levels) / levels) : null);
  const every = Math.ceil(16 / high);
  rowNames.forEach((name, row) => {
    if (row % every === 0) label(svg, left - 8, top + (row + 0.5) * high + 4, name, { "text-anchor": "end", fill: theme.muted });
  });
  let taken = -Infinity;
  bins.forEach((bin, i) => {
    const text = options.xFormat(bin.from), at = left + (i + 0.5) * wide, half = textWidth(text) / 2;
    if (at - half < taken + 28 || at + half > width) return;
    label(svg, at, bottom + 16, text, { "text-anchor": "middle", fill: theme.muted });
    taken = at + half;
  });
  label(svg, right, bottom + 34, options.xLabel, { "text-anchor": "end", fill: theme.muted });
  drawHeatKey(frame, left, height - 16, options.yFormat(options.low), options.yFormat(options.high));
  return { rows, values: () => ({ head: [options.xLabel, ...rowNames.map((name) => `${options.rowLabel} ${name}`)],
    rows: bins.map((bin) => [options.xFormat(bin.from), ...bin.values.map(options.yFormat)]) }) };
}

// layer: { owners, copies, loads } of one step; ranks: how many.
function drawPlacement(frame, layer, ranks) {
  const { svg, width, height, theme } = frame;
  const experts = layer.owners.length, strip = layer.loads.length ? 46 : 0;
  const left = Math.ceil(textWidth("rank " + (ranks - 1)) + 12), right = width - 12, top = 6 + strip, bottom = height - 38;
  const wide = (right - left) / experts, high = (bottom - top) / ranks;
  const gapX = wide >= 5 ? 1 : 0, gapY = high >= 5 ? 1 : 0;
  const most = greatest(layer.loads, 0), sum = layer.loads.reduce((a, b) => a + b, 0);
  layer.loads.forEach((load, e) => {
    const tall = most ? (strip - 12) * load / most : 0;
    draw(svg, "rect", { x: left + e * wide, y: strip - tall, width: Math.max(wide - gapX, 0.5), height: tall, fill: theme.rest });
  });
  if (strip) label(svg, left - 8, strip - 4, "load", { "text-anchor": "end", fill: theme.muted });
  const about = (e) => [
    { name: "owner", value: "rank " + layer.owners[e] },
    { name: "copies", value: layer.copies[e].length === ranks - 1 ? "all other ranks" : layer.copies[e].length ? "rank " + layer.copies[e].join(", ") : "none" },
    ...(sum ? [{ name: "tokens", value: `${format.whole(layer.loads[e])} (${format.percent(layer.loads[e] / sum)})` }] : [])];
  const rows = Array.from({ length: ranks }, (_, rank) => layer.owners.map((owner, e) => ({
    x: left + e * wide, y: top + rank * high, w: Math.max(wide - gapX, 0.5), h: high - gapY,
    held: owner === rank ? "owner" : layer.copies[e].includes(rank) ? "copy" : "",
    title: `expert ${e} on rank ${rank}` + (owner === rank ? ": owner" : layer.copies[e].includes(rank) ? ": copy" : ": not held"), lines: () => about(e) })));
  drawCells(svg, rows.flat(), (cell) => cell.held === "owner" ? theme.series[0] : cell.held === "copy" ? theme.series[1] : theme.grid);
  const every = Math.ceil(16 / high);
  for (let rank = 0; rank < ranks; rank += every)
    label(svg, left - 8, top + (rank + 0.5) * high + 4, "rank " + rank, { "text-anchor": "end", fill: theme.muted });
  const step = Math.max(1, Math.round(niceStep(experts, (right - left) / 60)));
  for (let e = 0; e < experts; e += step)
    label(svg, left + (e + 0.5) * wide, bottom + 16, String(e), { "text-anchor": "middle", fill: theme.muted });
  label(svg, right, bottom + 33, "expert", { "text-anchor": "end", fill: theme.muted });
  return { rows, values: () => ({ head: ["expert", "owner", "copies", "tokens"],
    rows: layer.owners.map((owner, e) => [e, owner, layer.copies[e].join(" "), layer.loads[e] ?? ""]) }) };
}
