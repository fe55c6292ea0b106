// The page: what is shown, from which columns, and what is said where a run has no such data.
const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
const page = document.getElementById("page");
const many = runs.length > 1;
const view = { axis: "step", run: 0 };

const columnsOf = (run) => run.steps.columns;
const column = (run, name) => run.steps.columns[name];
const hasValues = (values) => Array.isArray(values) && values.some(isNumber);
const having = (name) => runs.filter((run) => hasValues(column(run, name)));
// "load.3.max_over_mean" -> "3", for the names that have both ends, in the order of their numbers.
function keysBetween(run, begin, end) {
  return Object.keys(columnsOf(run)).filter((name) => name.startsWith(begin) && name.endsWith(end) &&
    name.length > begin.length + end.length && hasValues(column(run, name)))
    .map((name) => name.slice(begin.length, name.length - end.length)).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}
const paletteIndex = (run) => runs.indexOf(run);

const AXES = {
  step: { name: "step", values: (table) => table.columns.step, format: format.whole, whole: true },
  tokens: { name: "tokens", values: (table) => table.columns.tokens, format: format.number },
  time: { name: "time", values: (table) => table.columns.elapsed_seconds, format: format.seconds },
};

function section(title, lead, ...extra) {
  const grid = make("div", { class: "grid" });
  page.append(make("section", { "aria-label": title }, make("h2", {}, title), lead ? make("p", { class: "lead" }, lead) : null, ...extra, grid));
  return grid;
}
const missing = (grid, title, reason, wide) =>
  grid.append(make("p", { class: wide ? "missing wide" : "missing" }, make("b", {}, title + ": "), reason));

function segments(label, choices, chosen, choose) {
  const box = make("div", { class: "seg", role: "group", "aria-label": label });
  const buttons = choices.map(([value, name]) => make("button", { type: "button", "aria-pressed": String(value === chosen),
    onclick: () => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(choices[i][0] === value)));
      choose(value);
    } }, name));
  box.append(...buttons);
  return box;
}

// --- Curves of all runs over one another

// options: { id, title, about, pick(run) -> { y, low, high, faint }, extra(run) -> series, format, log, fromZero }.
function curves(grid, options) {
  const chosen = runs.filter((run) => hasValues(options.pick(run)?.y) || (options.extra?.(run) ?? []).some((each) => hasValues(each.y)));
  if (chosen.length === 0) { missing(grid, options.title, options.absent); return; }
  const state = { log: options.log ?? false };
  const seriesOf = (theme) => chosen.flatMap((run) => {
    const axis = AXES[view.axis], index = paletteIndex(run), colour = seriesColour(theme, index);
    const main = options.pick(run), list = [];
    if (hasValues(main?.y))
      list.push({ ...main, name: many ? run.name : options.name ?? options.title, colour, dash: seriesDash(theme, index), x: axis.values(run.steps) });
    for (const each of options.extra?.(run) ?? [])
      if (hasValues(each.y)) list.push({ ...each, x: axis.values(each.table),
        name: many ? `${run.name}, ${each.name}` : each.name, colour: many ? colour : seriesColour(theme, 1), points: true });
    return list;
  });
  const chart = new Chart(grid, { id: options.id, title: options.title, about: options.about,
    controls: options.logChoice ? [segments("Vertical axis", [[false, "linear"], [true, "log"]], state.log, (log) => { state.log = log; chart.redraw(); })] : null,
    legend: (theme) => { const all = seriesOf(theme); return all.length > 1 ? all.map(({ name, colour }) => ({ name, colour, toggle: true })) : []; },
    render: (frame) => drawCurves(frame, seriesOf(frame.theme), { xLabel: AXES[view.axis].name, xFormat: AXES[view.axis].format,
      whole: AXES[view.axis].whole, yFormat: options.format, exact: options.exact, log: state.log, fromZero: options.fromZero, limits: options.limits }) });
}

function curvesSection() {
  const axis = make("div", { class: "bar" }, segments("Horizontal axis", [["step", "steps"], ["tokens", "tokens"], ["time", "time"]], view.axis,
    (value) => { view.axis = value; charts.forEach((chart) => chart.redraw()); }));
  const grid = section("Curves", many ? "All runs over one another; a click on a name hides or shows it." : null, axis);
  const plain = (name) => (run) => ({ y: column(run, name), low: column(run, name + ".low"), high: column(run, name + ".high") });
  const thin = runs.some((run) => run.steps.of > run.steps.rows);
  curves(grid, { id: "loss", title: "Loss", name: "training", pick: plain("loss"), format: format.number, logChoice: true,
    about: "Cross-entropy per token in nats; dots are held-out evaluations." + (thin ? " Neighbouring steps are put together as their mean; the band is least to greatest." : ""),
    extra: (run) => [{ name: "held out", y: run.evaluations.columns.eval_loss, table: run.evaluations }], absent: "no step has been logged yet." });
  curves(grid, { id: "rate", title: "Learning rate", pick: plain("lr"), format: format.number, fromZero: true, about: "Of the optimizer, per step.", absent: "no step has been logged yet." });
  curves(grid, { id: "throughput", title: "Throughput", pick: plain("tokens_per_s"), format: format.number, fromZero: true, about: "Tokens per second over all ranks.", absent: "no step has been logged yet." });
  curves(grid, { id: "step-time", title: "Step time", pick: plain("step_seconds"), format: format.seconds, fromZero: true, about: "Wall time of a step, waiting for data included.", absent: "no step has been logged yet." });
  curves(grid, { id: "gradient", title: "Gradient norm", pick: plain("grad_norm"), format: format.number, logChoice: true, about: "Before clipping.", absent: "no step has been logged yet." });
  curves(grid, { id: "utilisation", title: "FLOP utilisation", pick: plain("flops_utilization"), format: format.percent, fromZero: true,
    about: "Model operations per second over the multiply-add rate measured at the start.", absent: "the rate of this device was not measured." });
}

// --- Time

function timeSection() {
  const grid = section("Where the time goes", "Means over the last half of the steps.");
  const timed = runs.filter((run) => run.step_parts.length);
  if (timed.length === 0) missing(grid, "Critical path", "no step with a breakdown has been logged yet.", true);
  else {
    const kinds = [...new Map(timed.flatMap((run) => run.step_parts.map((part) => [partName(part), part]))).keys()];
    const order = (name) => kinds.indexOf(name);
    const colourOf = (theme, name) => name === "rest" ? theme.rest : seriesColour(theme, partColour(name, order(name)));
    new Chart(grid, { id: "critical-path", title: "Critical path of a step", wide: true,
      about: "Solid: the compute lane works (first rank). Striped: it stands still and waits (mean of the ranks). " +
        "What hides behind compute is not in it.",
      height: (width) => timed.length * (width < 520 ? 54 : 42) + 44,
      legend: (theme) => kinds.map((name) => ({ name, colour: colourOf(theme, name), toggle: true })),
      render: (frame) => drawBars(frame, timed.map((run) => ({ name: many ? run.name : "step", parts: run.step_parts.map((part) => ({
        name: partName(part), about: part.exposed ? `waiting for ${part.name}` : part.name, value: part.seconds, striped: part.exposed,
        colour: colourOf(frame.theme, partName(part)) })) })), { yFormat: format.seconds, label: "per step" }) });
  }
  const sharded = runs.filter((run) => run.hidden.length);
  if (sharded.length === 0) missing(grid, "Hidden communication", "these runs have one rank each, which sends nothing.", true);
  for (const run of sharded)
    new Chart(grid, { id: "hidden-" + runs.indexOf(run), title: "Communication, hidden and exposed" + (many ? ": " + run.name : ""), wide: sharded.length === 1,
      about: "Seconds that each kind of traffic was under way in a step, and how much of it the compute lane waited for.",
      height: (width) => run.hidden.length * (width < 520 ? 48 : 34) + 44,
      legend: (theme) => [{ name: "hidden", colour: theme.series[2], toggle: true }, { name: "exposed", colour: theme.series[1], toggle: true }],
      render: (frame) => drawBars(frame, run.hidden.map((each) => ({ name: each.name, parts: [
        { name: "exposed", about: "exposed", value: each.exposed, colour: frame.theme.series[1] },
        { name: "hidden", about: "hidden", value: each.busy - each.exposed, colour: frame.theme.series[2] }] })), { yFormat: format.seconds, label: "per step" }) });
}

const partName = (part) => part.exposed ? "wait: " + part.name : part.name;
// The same kind has the same colour whether it works or is waited for, and in the timeline.
function partColour(name, otherwise) {
  const table = { attention: 0, experts: 1, "dense layers": 2, routing: 7, optimizer: 6, "wait: dispatch": 3, "wait: combine": 3,
    "wait: expert gather": 4, "wait: expert reduce": 4, "wait: dense gather": 5, "wait: dense reduce": 5, "wait: data": 7, "wait: host": 7, "wait: calibration": 4 };
  return table[name] ?? otherwise;
}

// --- A population, where there is one

function populationSection() {
  if (data.exploits.length === 0) return;
  const grid = section("Population", "A full dot is a member that took another one's state; the line comes from the donor's checkpoint.");
  new Chart(grid, { id: "lineage", title: "Lineage", wide: true, height: lineageHeight(data.exploits),
    about: `${data.exploits.length} ${data.exploits.length === 1 ? "exploit" : "exploits"}.`, render: (frame) => drawLineage(frame, data.exploits) });
}
