// A population's members over their steps, and who took whose state.

const lineageMembers = (exploits) =>
  [...new Set(exploits.flatMap((each) => [each.donor, each.target]))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
const lineageHeight = (exploits) => lineageMembers(exploits).length * 30 + 54;

function drawLineage(frame, exploits) {
  const { svg, width, height, theme } = frame;
  const members = lineageMembers(exploits), bottom = height - 38;
  const left = Math.ceil(Math.max(...members.map((name) => textWidth(name))) + 14), right = width - 12;
  const steps = exploits.flatMap((each) => [each.donor_step, each.target_step]).filter(isNumber);
  const scale = linearScale(0, greatest(steps, 1) * 1.04, left, right, (right - left) / 90, { whole: true });
  const y = (name) => 18 + members.indexOf(name) * 30;
  for (const tick of scale.ticks)
    label(svg, scale.at(tick), bottom + 17, format.number(tick), { "text-anchor": "middle", fill: theme.muted });
  label(svg, right, bottom + 33, "step", { "text-anchor": "end", fill: theme.muted });
  for (const name of members) {
    draw(svg, "line", { x1: left, x2: right, y1: y(name), y2: y(name), stroke: theme.line, "stroke-width": 2 });
    label(svg, left - 10, y(name) + 4, name, { "text-anchor": "end", fill: theme.soft });
  }
  const stops = new Map(members.map((name) => [name, []]));
  for (const each of exploits) {
    if (!isNumber(each.target_step)) continue;
    const from = scale.at(isNumber(each.donor_step) ? each.donor_step : each.target_step), to = scale.at(each.target_step);
    const a = y(each.donor), b = y(each.target), bend = Math.max(14, Math.abs(to - from) / 2);
    draw(svg, "path", { d: `M${round(from)} ${a}C${round(from + bend)} ${a} ${round(to - bend)} ${b} ${round(to)} ${b}`,
      fill: "none", stroke: theme.series[0], "stroke-width": 1.5, opacity: 0.75 });
    draw(svg, "circle", { cx: from, cy: a, r: 3, fill: theme.surface, stroke: theme.series[0], "stroke-width": 1.5 });
    draw(svg, "circle", { cx: to, cy: b, r: 5, fill: theme.series[0], stroke: theme.surface, "stroke-width": 1.5 });
    stops.get(each.target).push({ x: to - 6, y: b - 6, w: 12, h: 12, title: `${each.target} takes ${each.donor} at step ${format.whole(each.target_step)}`,
      lines: [{ name: "score before", value: format.number(each.target_score) }, { name: "donor's score", value: format.number(each.donor_score) },
        ...changes(each)] });
  }
  for (const row of stops.values()) row.sort((a, b) => a.x - b.x);
  return { rows: members.map((name) => stops.get(name)), values: () => ({
    head: ["step", "target", "donor", "donor's step", "score", "donor's score", "hyper-parameters"],
    rows: exploits.map((each) => [format.whole(each.target_step), each.target, each.donor, format.whole(each.donor_step),
      format.number(each.target_score), format.number(each.donor_score), changes(each).map((line) => `${line.name} ${line.value}`).join("; ")]) }) };
}

function changes(exploit) {
  const old = new Map(exploit.before);
  return exploit.after.map(([name, value]) => ({ name, value: old.has(name) ? `${old.get(name)} → ${value}` : value }));
}
