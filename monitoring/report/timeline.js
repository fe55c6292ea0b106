// What each lane of some ranks did in one step, with the recorded counters below.

const KIND_GROUPS = [
  ["attention", ["attention"]], ["experts", ["expert_gemm"]],
  ["dense layers", ["gemm", "embedding", "normalization", "elementwise", "loss"]],
  ["dispatch, combine", ["dispatch", "combine"]], ["expert gather, reduce", ["expert_gather", "expert_reduce", "calibrate"]],
  ["dense gather, reduce", ["dense_gather", "dense_reduce"]], ["optimizer", ["optimizer"]]];
const groupOf = (kind) => KIND_GROUPS.findIndex(([, kinds]) => kinds.includes(kind));
const groupColour = (theme, kind) => groupOf(kind) < 0 ? theme.rest : theme.series[groupOf(kind)];

const timelineLanes = (excerpt) => excerpt.ranks.flatMap((rank, r) => excerpt.lanes.map((lane, l) => ({ rank, r, lane, l }))
  .filter(({ r, l }) => excerpt.slices.some((slice) => slice[0] === r && slice[1] === l)));

const LANE_HEIGHT = 19;
const timelineHeight = (excerpt) => timelineLanes(excerpt).length * LANE_HEIGHT + excerpt.ranks.length * 22 + 44;

function timelineLegend(excerpt, theme) {
  const used = new Set(excerpt.slices.map((slice) => groupOf(excerpt.names[slice[5]])));
  return [...KIND_GROUPS.map(([name], i) => ({ name, colour: theme.series[i], used: used.has(i) })),
    { name: "other", colour: theme.rest, used: used.has(-1) }].filter((entry) => entry.used);
}

// range: [from, to] as shares of the step.
function drawTimeline(frame, excerpt, range) {
  const { svg, width, height, theme } = frame;
  const whole = greatest(excerpt.slices.map((slice) => slice[3]), 1);
  const low = whole * range[0], high = whole * range[1];
  const lanes = timelineLanes(excerpt), left = Math.ceil(Math.max(...lanes.map(({ lane }) => textWidth(lane))) + 14);
  const right = width - 12, bottom = height - 38, scale = linearScale(low, high, left, right, (right - left) / 90);
  for (const tick of scale.ticks) {
    const x = Math.round(scale.at(tick)) + 0.5;
    draw(svg, "line", { x1: x, x2: x, y1: 0, y2: bottom, stroke: theme.grid });
    label(svg, Math.min(x, width - 14), bottom + 17, String(Number(tick.toPrecision(6))), { "text-anchor": "middle", fill: theme.muted });
  }
  label(svg, right, bottom + 33, "ms", { "text-anchor": "end", fill: theme.muted });
  let y = 0, last = -1;
  const rows = lanes.map(({ rank, r, lane, l }) => {
    if (r !== last) {
      label(svg, 0, y + 15, "rank " + rank, { fill: theme.soft, "font-weight": 600 });
      y += 22;
      last = r;
    }
    label(svg, left - 8, y + 13, lane, { "text-anchor": "end", fill: theme.muted });
    const stops = excerpt.slices.filter((slice) => slice[0] === r && slice[1] === l && slice[3] >= low && slice[2] <= high)
      .map(([, , begin, end, name, kind]) => {
        const x = clamp(scale.at(begin), left, right), w = Math.max(0.6, clamp(scale.at(end), left, right) - x);
        return { x, y: y + 2, w, h: LANE_HEIGHT - 4, kind: excerpt.names[kind], title: excerpt.names[name],
          lines: [{ name: excerpt.names[kind], colour: groupColour(theme, excerpt.names[kind]), value: format.seconds((end - begin) / 1e3) },
            { name: "begins", value: format.seconds(begin / 1e3) }] };
      });
    drawCells(svg, stops, (stop) => groupColour(theme, stop.kind));
    y += LANE_HEIGHT;
    return stops;
  });
  return { rows, values: () => ({ head: ["rank", "lane", "operation", "kind", "begins", "lasts"], rows: excerpt.slices.map(
    ([r, l, begin, end, name, kind]) => [excerpt.ranks[r], excerpt.lanes[l], excerpt.names[name], excerpt.names[kind],
      format.seconds(begin / 1e3), format.seconds((end - begin) / 1e3)]) }) };
}

// Steps, not slopes: a counter holds until it changes.
function counterSeries(counter, end) {
  const x = [], y = [];
  for (const [time, value] of counter.values) {
    if (x.length) { x.push(time); y.push(y[y.length - 1]); }
    x.push(time);
    y.push(value);
  }
  if (x.length) { x.push(end); y.push(y[y.length - 1]); }
  return { x, y };
}

// Counters over common times, to be stacked: { x, series: [y] }.
function counterStack(counters, end) {
  const times = [...new Set(counters.flatMap((counter) => counter.values.map(([time]) => time)))].sort((a, b) => a - b);
  const x = times.flatMap((time, i) => [time, i + 1 < times.length ? times[i + 1] : Math.max(end, time)]);
  return { x, series: counters.map((counter) => {
    let at = -1;
    return times.flatMap((time) => {
      while (at + 1 < counter.values.length && counter.values[at + 1][0] <= time) ++at;
      const value = at < 0 ? 0 : counter.values[at][1];
      return [value, value];
    });
  }) };
}
