// Curves over a common axis, and areas stacked on one another.

// A limit this many times above the values would flatten them: it is left to the text.
const MOST_OVER = 6;

// series: { name, colour, dash, x, y, low, high (bands), points (marks only), faint }.
// options: { xLabel, xFormat, yFormat, log, fromZero, whole, limits: [{ value, name }] }.
function drawCurves(frame, series, options) {
  const { svg, theme, hidden } = frame;
  const shown = series.filter((each) => !hidden.has(each.name));
  const usable = (value) => isNumber(value) && (!options.log || value > 0);
  const ys = shown.flatMap((each) => [...each.y, ...(each.low ?? []), ...(each.high ?? [])]).filter(usable);
  const xs = shown.flatMap((each) => each.x.filter((value, i) => isNumber(value) && usable(each.y[i])));
  const limits = (options.limits ?? []).filter((limit) => usable(limit.value));
  const near = limits.filter((limit) => ys.length === 0 || limit.value <= MOST_OVER * greatest(ys, 0)).map((limit) => limit.value);
  const low = least([...ys, ...near], 0), high = greatest([...ys, ...near], 1);
  const area = axes(frame, {
    makeX: (from, to) => linearScale(least(xs, 0), greatest(xs, 1), from, to, (to - from) / 90, { whole: options.whole }),
    makeY: (from, to) => options.log ? logScale(low / 1.05, high * 1.05, from, to, 5)
      : linearScale(...padded(low, high, options.fromZero), from, to, 5, { binary: options.binary }),
    ...options });
  const { x, y } = area;
  for (const limit of limits.filter((each) => near.includes(each.value))) {
    const at = y.at(limit.value);
    draw(svg, "line", { x1: area.left, x2: area.right, y1: at, y2: at, stroke: theme.warn, "stroke-dasharray": "5 4" });
    label(svg, area.right, at - 5, limit.name, { "text-anchor": "end", fill: theme.warn });
  }
  for (const each of shown) {
    const at = (values, i) => `${round(x.at(each.x[i]))} ${round(y.at(values[i]))}`;
    if (each.low && each.high) {
      const whole = each.x.map((_, i) => i).filter((i) => usable(each.low[i]) && usable(each.high[i]));
      if (whole.length > 1)
        draw(svg, "path", { fill: each.colour, opacity: 0.18, d: "M" + whole.map((i) => at(each.high, i)).join("L") +
          "L" + whole.reverse().map((i) => at(each.low, i)).join("L") + "Z" });
    }
    if (!each.points) {
      let d = "", pen = "M", count = 0;
      each.x.forEach((value, i) => {
        if (!isNumber(value) || !usable(each.y[i])) { pen = "M"; return; }
        d += pen + at(each.y, i);
        pen = "L";
        ++count;
      });
      if (count > 1)
        draw(svg, "path", { d, fill: "none", stroke: each.colour, "stroke-width": each.faint ? 1.25 : 2,
          "stroke-linejoin": "round", "stroke-linecap": "round", "stroke-dasharray": each.dash ?? "" });
      if (count > 1) continue;
    }
    each.x.forEach((value, i) => {
      if (isNumber(value) && usable(each.y[i]))
        draw(svg, "circle", { cx: x.at(value), cy: y.at(each.y[i]), r: 4, fill: each.colour, stroke: theme.surface, "stroke-width": 1.5 });
    });
  }
  return { rows: [curveStops(area, shown, usable, options)], values: () => curveValues(shown, options) };
}

const round = (value) => Math.round(value * 10) / 10;
const least = (values, otherwise) => values.length ? values.reduce((a, b) => Math.min(a, b)) : otherwise;
const greatest = (values, otherwise) => values.length ? values.reduce((a, b) => Math.max(a, b)) : otherwise;

// One place to point at per position of any series; at most one per pixel.
function curveStops(area, series, usable, options) {
  const places = new Map();
  for (const each of series)
    each.x.forEach((value, i) => {
      if (!isNumber(value) || !usable(each.y[i])) return;
      const pixel = Math.round(area.x.at(value));
      if (!places.has(pixel)) places.set(pixel, { value, found: new Map() });
      places.get(pixel).found.set(each, i);
    });
  return [...places.entries()].sort((a, b) => a[0] - b[0]).map(([pixel, { value, found }]) => {
    // Series that are not at this very place show what they had before it.
    const all = () => series.map((each) => [each, found.get(each) ?? (each.points ? -1 : before(each, value))])
      .filter(([each, i]) => i >= 0 && usable(each.y[i]));
    return { x: pixel, w: 0, y: area.top, h: area.bottom - area.top, rule: true,
      title: `${options.xLabel} ${options.xFormat(value)}`,
      get dots() { return all().map(([each, i]) => ({ x: area.x.at(each.x[i]), y: area.y.at(each.y[i]), colour: each.colour })); },
      lines: () => all().map(([each, i]) => ({ name: each.name, colour: each.colour,
        value: (options.exact ?? options.yFormat)(each.y[i]) + (each.low && isNumber(each.low[i]) && each.low[i] !== each.high[i]
          ? ` (${options.yFormat(each.low[i])} to ${options.yFormat(each.high[i])})` : "") })) };
  });
}

function before(series, value) {
  if (value > series.x[series.x.length - 1]) return -1;
  let low = -1, high = series.x.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    series.x[middle] <= value ? low = middle : high = middle;
  }
  return low;
}

function curveValues(series, options) {
  const all = [...new Set(series.flatMap((each) => each.x.filter(isNumber)))].sort((a, b) => a - b);
  const index = series.map((each) => new Map(each.x.map((value, i) => [value, i])));
  return { head: [options.xLabel, ...series.map((each) => each.name)],
    rows: all.map((value) => [options.xFormat(value), ...series.map((each, s) => {
      const i = index[s].get(value);
      return i === undefined ? "" : (options.exact ?? options.yFormat)(each.y[i]);
    })]) };
}

// series: { name, colour, y }, first at the bottom, over common x. options as above, and `note(i)`
// for more lines of a place.
function drawStack(frame, x, series, options) {
  const { svg, theme, hidden } = frame;
  const shown = series.filter((each) => !hidden.has(each.name));
  const sums = x.map(() => 0);
  const tops = shown.map((each) => each.y.map((value, i) => sums[i] += isNumber(value) ? value : 0));
  const limits = (options.limits ?? []).filter((limit) => limit.value > 0 && limit.value <= MOST_OVER * greatest(sums, 0));
  const high = greatest([...sums, ...limits.map((limit) => limit.value)], 1);
  const area = axes(frame, {
    makeX: (from, to) => linearScale(least(x, 0), greatest(x, 1), from, to, (to - from) / 90, { whole: options.whole }),
    makeY: (from, to) => linearScale(0, high * 1.06 || 1, from, to, 5, { binary: options.binary }), ...options });
  // A single step is shown as a bar.
  const edge = x.length > 1 ? (i) => area.x.at(x[i]) : (i) => i === 0 ? area.left : area.right;
  const count = Math.max(2, x.length), at = (i) => Math.min(i, x.length - 1);
  shown.forEach((each, s) => {
    const over = [], under = [];
    for (let i = 0; i < count && x.length > 0; ++i) {
      over.push(`${round(edge(i))} ${round(area.y.at(tops[s][at(i)]))}`);
      under.push(`${round(edge(i))} ${round(area.y.at(s > 0 ? tops[s - 1][at(i)] : 0))}`);
    }
    if (over.length) draw(svg, "path", { d: "M" + over.join("L") + "L" + under.reverse().join("L") + "Z", fill: each.colour,
      stroke: theme.surface, "stroke-width": 1 });
  });
  for (const limit of limits) {
    const at = area.y.at(limit.value);
    draw(svg, "line", { x1: area.left, x2: area.right, y1: at, y2: at, stroke: theme.warn, "stroke-width": 1.5, "stroke-dasharray": "5 4" });
    label(svg, area.right, at - 5, limit.name, { "text-anchor": "end", fill: theme.warn });
  }
  const stops = [], used = new Set();
  x.forEach((value, i) => {
    const pixel = Math.round(x.length > 1 ? area.x.at(value) : (area.left + area.right) / 2);
    if (used.has(pixel)) return;
    used.add(pixel);
    stops.push({ x: pixel, w: 0, y: area.top, h: area.bottom - area.top, rule: true, title: `${options.xLabel} ${options.xFormat(value)}`,
      lines: () => [...[...shown].reverse().filter((each) => each.y[i] > 0).map((each) => ({ name: each.name, colour: each.colour, value: options.yFormat(each.y[i]) })),
        { name: "together", value: options.yFormat(sums[i]) }] });
  });
  return { rows: [stops], values: () => ({ head: [options.xLabel, ...shown.map((each) => each.name), "together"],
    rows: x.map((value, i) => [options.xFormat(value), ...shown.map((each) => options.yFormat(each.y[i])), options.yFormat(sums[i])]) }) };
}
