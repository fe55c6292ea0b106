// --- One run in detail: a run is chosen, its charts are made anew

let details = null;

function detailSections() {
  const choice = many ? make("div", { class: "bar" }, make("label", {}, "Run shown below",
    make("select", { id: "run-choice", onchange: (event) => { view.run = Number(event.target.value); showDetails(); } },
      ...runs.map((run, i) => make("option", { value: i }, run.name))))) : null;
  if (choice) page.append(make("section", { "aria-label": "Choice of run" }, make("h2", {}, "One run in detail"), choice));
  details = make("div", { id: "details" });
  page.append(details);
  showDetails();
}

function detail(title, lead) {
  const grid = make("div", { class: "grid" });
  details.append(make("section", { "aria-label": title }, make("h2", {}, title), lead ? make("p", { class: "lead" }, lead) : null, grid));
  return grid;
}

function showDetails() {
  for (let i = charts.length - 1; i >= 0; --i) if (details.contains(charts[i].figure)) charts.splice(i, 1);
  details.replaceChildren();
  const run = runs[view.run];
  expertCharts(run);
  placementChart(run);
  memoryCharts(run);
  rankCharts(run);
  timelineCharts(run);
}

function select(name, choices, chosen, choose) {
  return make("label", {}, name, make("select", { onchange: (event) => choose(event.target.value) },
    ...choices.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) ? "" : null }, text))));
}

const LOAD_MEASURES = {
  max_over_mean: { name: "busiest over mean expert", format: format.ratio, low: 1 },
  entropy: { name: "entropy (1 is even)", format: format.number },
  dropped: { name: "dropped choices", format: format.whole, low: 0 },
};

function expertCharts(run) {
  const grid = detail("Experts");
  const layers = keysBetween(run, "load.", ".max_over_mean");
  if (layers.length === 0) missing(grid, "Expert load", "no step of a layer with experts has been logged yet.", true);
  else {
    const state = { measure: "max_over_mean" };
    const chart = new Chart(grid, { id: "load-heat", title: "Expert load over time and layers", wide: true,
      about: "How uneven what the gate sent was, by layer and step.", height: clamp(layers.length * 22, 70, 420) + 66,
      controls: [select("Measure", Object.entries(LOAD_MEASURES).map(([key, measure]) => [key, measure.name]), state.measure,
        (value) => { state.measure = value; chart.redraw(); })],
      render: (frame) => {
        const measure = LOAD_MEASURES[state.measure], values = layers.map((layer) => column(run, `load.${layer}.${state.measure}`) ?? []);
        const all = values.flat().filter(isNumber);
        return drawHeat(frame, run.steps.columns.step.map((x, i) => ({ x, values: values.map((each) => each[i]) })), layers, {
          low: measure.low ?? least(all, 0), high: greatest(all, 1), xLabel: "step", xFormat: format.whole, yFormat: measure.format, rowLabel: "layer", valueLabel: measure.name });
      } });
  }
  expertLoadChart(grid, run);
  imbalanceChart(grid, run);
}

function expertLoadChart(grid, run) {
  const loads = run.loads;
  if (!loads || loads.steps.length === 0) {
    missing(grid, "Load of each expert", "counts per expert are in the log of small models only; trace_loads = true records them for all.");
    return;
  }
  const state = { layer: 0 }, { experts } = loads, layers = loads.layers.length;
  const chart = new Chart(grid, { id: "expert-heat", title: "Load of each expert",
    about: "Tokens over the layer's mean expert, by step.", height: clamp(experts * 14, 120, 340) + 66,
    controls: layers > 1 ? [select("Layer", loads.layers.map((layer, i) => [i, layer]), 0, (value) => { state.layer = Number(value); chart.redraw(); })] : null,
    render: (frame) => {
      const at = (s, e) => loads.percent_of_mean[(s * layers + state.layer) * experts + e] / 100;
      const columns = loads.steps.map((x, s) => ({ x, values: Array.from({ length: experts }, (_, e) => at(s, e)) }));
      return drawHeat(frame, columns, Array.from({ length: experts }, (_, e) => String(e)), { low: 0,
        high: Math.max(2, greatest(columns.flatMap((each) => each.values), 1)), xLabel: "step", xFormat: format.whole, yFormat: format.ratio, rowLabel: "expert", valueLabel: "over the mean" });
    } });
}

function imbalanceChart(grid, run) {
  const layers = keysBetween(run, "sharded.layers.", ".imbalance_at_owners");
  if (layers.length === 0) {
    missing(grid, "Imbalance before and after", run.ranks > 1 ? "this log does not say what each rank computed." : "one rank computes everything.");
    return;
  }
  const state = { layer: "worst" };
  const pick = (end) => {
    const all = layers.map((layer) => column(run, `sharded.layers.${layer}.${end}`));
    if (state.layer !== "worst") return all[layers.indexOf(state.layer)];
    return all[0].map((_, i) => greatest(all.map((each) => each[i]).filter(isNumber), null));
  };
  const chart = new Chart(grid, { id: "imbalance", title: "Imbalance of ranks, before and after",
    about: "Tokens of the busiest rank over the mean rank: with every expert at its owner alone, and with the copies that the step made.",
    controls: [select("Layer", [["worst", "the worst of each step"], ...layers.map((layer) => [layer, layer])], "worst", (value) => { state.layer = value; chart.redraw(); })],
    legend: (theme) => [{ name: "owners alone", colour: theme.series[1], toggle: true }, { name: "with copies", colour: theme.series[0], toggle: true }],
    render: (frame) => drawCurves(frame, [{ name: "owners alone", colour: frame.theme.series[1], x: run.steps.columns.step, y: pick("imbalance_at_owners") },
      { name: "with copies", colour: frame.theme.series[0], x: run.steps.columns.step, y: pick("imbalance") }],
    { xLabel: "step", xFormat: format.whole, whole: true, yFormat: format.ratio }) });
}

function placementChart(run) {
  const grid = detail("Placement");
  if (run.placements.length === 0) {
    missing(grid, "Who holds which expert", run.ranks > 1 ? "no line of this log has the placement." : "one rank holds everything.", true);
    return;
  }
  const last = run.placements.length - 1, state = { at: last, layer: 0 };
  const ranks = 1 + greatest(run.placements.flatMap((each) => each.layers.flatMap((layer) => [...layer.owners, ...layer.copies.flat()])), run.ranks - 1);
  const said = make("output", {});
  const say = () => { said.textContent = "step " + format.whole(run.placements[state.at].step); };
  say();
  const slider = make("input", { type: "range", min: 0, max: last, value: last, "aria-label": "Step",
    oninput: (event) => { state.at = Number(event.target.value); say(); chart.redraw(); } });
  const layers = run.placements[last].layers;
  const chart = new Chart(grid, { id: "placement", title: "Who holds which expert", wide: true,
    about: "Every expert has one owner (after the step); copies live for the step that asked for them. Above: what the experts got.",
    height: clamp(ranks * 26, 90, 420) + 44 + 46,
    controls: [select("Layer", layers.map((layer, i) => [i, layer.layer]), 0, (value) => { state.layer = Number(value); chart.redraw(); }), last > 0 ? slider : null, said],
    legend: (theme) => [{ name: "owner", colour: theme.series[0] }, { name: "copy", colour: theme.series[1] }, { name: "not held", colour: theme.grid }],
    render: (frame) => drawPlacement(frame, run.placements[state.at].layers[state.layer] ?? run.placements[state.at].layers[0], ranks) });
}

const MEMORY_ORDER = ["parameters", "optimizer", "gradients", "materialized", "activations", "buffers", "communicator"];

function memoryCharts(run) {
  const grid = detail("Memory");
  const categories = keysBetween(run, "peak_bytes.", "").sort((a, b) => MEMORY_ORDER.indexOf(a) - MEMORY_ORDER.indexOf(b));
  if (categories.length === 0) { missing(grid, "Memory", "no step has been logged yet.", true); return; }
  const limits = run.budget_bytes ? [{ value: run.budget_bytes, name: "budget " + format.bytes(run.budget_bytes) }] : [];
  new Chart(grid, { id: "memory", title: "Peak memory by category", wide: true,
    about: "Of the first rank, each category's highest so far." + (run.budget_bytes ? ` The budget is ${format.bytes(run.budget_bytes)}.` : " No budget is set (device.memory_gib)."),
    legend: (theme) => categories.map((name) => ({ name, colour: seriesColour(theme, MEMORY_ORDER.indexOf(name)), toggle: true })),
    render: (frame) => drawStack(frame, run.steps.columns.step, categories.map((name) => ({ name, colour: seriesColour(frame.theme, MEMORY_ORDER.indexOf(name)), y: column(run, "peak_bytes." + name) })),
      { xLabel: "step", xFormat: format.whole, whole: true, yFormat: format.bytes, binary: true, limits }) });
}

function rankCharts(run) {
  const ranks = keysBetween(run, "ranks.compute_seconds.", "");
  if (ranks.length < 2) return;
  const grid = detail("Ranks");
  const values = (name) => ranks.map((rank) => column(run, `ranks.${name}.${rank}`) ?? []);
  for (const [id, name, title, about] of [["rank-compute", "compute_seconds", "Compute time by rank", "How long each rank's compute lane was busy: the strongest rows are what the others wait for."],
    ["rank-waited", "waited_seconds", "Waiting time by rank", "How long each rank's compute lane stood still."]]) {
    const rows = values(name), all = rows.flat().filter(isNumber);
    if (all.length === 0) continue;
    new Chart(grid, { id, title, about, height: clamp(ranks.length * 20, 60, 340) + 66,
      render: (frame) => drawHeat(frame, run.steps.columns.step.map((x, i) => ({ x, values: rows.map((row) => row[i]) })), ranks,
        { low: least(all, 0), high: greatest(all, 1), xLabel: "step", xFormat: format.whole, yFormat: format.seconds, rowLabel: "rank", valueLabel: "seconds" }) });
  }
}

function timelineCharts(run) {
  const grid = detail("Timeline");
  const excerpt = run.timeline;
  if (!excerpt || excerpt.slices.length === 0) {
    missing(grid, "Timeline", "this run recorded none; hecate train --trace steps=10..12 does.", true);
    return;
  }
  const state = { from: 0, to: 1 };
  const zoom = segments("Part of the step", [["0 1", "whole step"], ["0 0.25", "1st quarter"], ["0.25 0.5", "2nd"], ["0.5 0.75", "3rd"], ["0.75 1", "4th"]], "0 1", (value) => {
    [state.from, state.to] = value.split(" ").map(Number);
    chart.redraw();
  });
  const chart = new Chart(grid, { id: "timeline", title: `Step ${format.whole(excerpt.step)}, lane by lane`, wide: true, controls: [zoom],
    about: "Up and down change the lane." + (excerpt.left_out ? ` ${format.whole(excerpt.left_out)} of the shortest operations are left out.` : "") + " The whole timeline opens at ui.perfetto.dev.",
    height: timelineHeight(excerpt), legend: (theme) => timelineLegend(excerpt, theme), render: (frame) => drawTimeline(frame, excerpt, [state.from, state.to]) });
  counterCharts(grid, excerpt);
}

function counterCharts(grid, excerpt) {
  const end = greatest(excerpt.slices.map((slice) => slice[3]), 1);
  const of = (prefix) => excerpt.counters.filter((each) => each.rank === 0 && each.name.startsWith(prefix));
  const nameOf = (counter) => counter.name.slice(counter.name.indexOf(":") + 1).trim();
  const milliseconds = { xLabel: "ms", xFormat: (value) => String(Number(value.toPrecision(4))), yFormat: format.bytes, binary: true };
  const flying = of("bytes in flight");
  if (flying.length === 0) missing(grid, "Bytes in flight", excerpt.ranks.length > 1 ? "this timeline has no such counters." : "one rank sends nothing.");
  else
    new Chart(grid, { id: "in-flight", title: "Bytes in flight", about: "What the operations under way on each lane move; first rank.",
      legend: (theme) => flying.map((each, i) => ({ name: nameOf(each), colour: seriesColour(theme, i), toggle: true })),
      render: (frame) => drawCurves(frame, flying.map((each, i) => ({ name: nameOf(each), colour: seriesColour(frame.theme, i), ...counterSeries(each, end) })),
        { ...milliseconds, fromZero: true }) });
  const order = (counter) => MEMORY_ORDER.indexOf(nameOf(counter));
  const held = of("memory").sort((a, b) => order(a) - order(b));
  if (held.length === 0) { missing(grid, "Memory within the step", "this timeline has no such counters."); return; }
  const stack = counterStack(held, end);
  new Chart(grid, { id: "memory-in-step", title: "Memory within the step", about: "What is in use, by category; first rank.",
    legend: (theme) => held.map((each) => ({ name: nameOf(each), colour: seriesColour(theme, order(each)), toggle: true })),
    render: (frame) => drawStack(frame, stack.x, held.map((each, i) => ({ name: nameOf(each), colour: seriesColour(frame.theme, order(each)), y: stack.series[i] })), milliseconds) });
}
