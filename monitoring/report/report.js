// --- Head, table of runs, configuration

const stepText = (run) => run.total_steps ? `${format.whole(run.summary.last_step ?? 0)} of ${format.whole(run.total_steps)}` : format.whole(run.summary.last_step);
function stateText(run) {
  if (run.state === "running") return `running, last step ${format.seconds(run.age_seconds)} ago`;
  return run.state === "finished" ? "finished" : "stopped before its end";
}

function head() {
  const title = many ? `${runs.length} runs` : runs[0].name;
  page.append(make("header", {}, make("h1", {}, title, " "), make("p", { class: "about" },
    many ? `hecate report, ${data.made_at}` : `${runs[0].path} · hecate report, ${data.made_at}`)));
  many ? runTable() : tiles(runs[0]);
  const notes = runs.flatMap((run) => run.notes.map((note) => many ? `${run.name}: ${note}` : note));
  if (notes.length) page.append(make("div", { class: "notes", role: "note" }, make("ul", {}, ...notes.map((note) => make("li", {}, note)))));
}

function tiles(run) {
  const s = run.summary;
  const tile = (name, value, small) => make("div", { class: "tile" }, make("span", {}, name), make("b", {}, value), make("small", {}, small ?? ""));
  page.append(make("div", { class: "tiles" },
    tile("Steps", stepText(run), make("span", { class: "state " + run.state }, stateText(run))),
    tile("Loss", format.number(s.last_loss), isNumber(s.best_eval_loss) ? `held out ${format.number(s.best_eval_loss)}` : "no evaluation yet"),
    tile("Throughput", format.number(s.tokens_per_s) + " tok/s", `${format.number(s.tokens)} tokens so far`),
    tile("Step", format.seconds(s.step_seconds), isNumber(s.flops_utilization) ? `${format.percent(s.flops_utilization)} of the FMA rate` : ""),
    tile("Strategy", run.strategy || "–", run.ranks ? `${run.ranks} ${run.ranks === 1 ? "rank" : "ranks"}` : ""),
    tile("Busiest expert", format.ratio(s.imbalance), "the mean, in the worst layer"),
    tile("Peak memory", format.bytes(s.peak_bytes), run.budget_bytes ? `of ${format.bytes(run.budget_bytes)}` : "no budget set")));
}

function runTable() {
  const rows = runs.map((run, i) => {
    const s = run.summary, swatch = make("span", { class: "swatch", style: `background:var(--c${i % 8 + 1})` });
    return make("tr", {}, make("td", { class: "text" }, swatch, run.name), make("td", { class: "text" }, make("span", { class: "state " + run.state, title: stateText(run) }, run.state)),
      make("td", { class: "text" }, run.strategy || "–"), ...[run.ranks || "–", stepText(run), format.number(s.last_loss), format.number(s.best_eval_loss), format.number(s.tokens_per_s),
        format.seconds(s.step_seconds), format.ratio(s.imbalance), format.bytes(s.peak_bytes)].map((value) => make("td", {}, String(value))));
  });
  const names = ["Run", "State", "Strategy", "Ranks", "Steps", "Loss", "Held out", "Tokens/s", "Step", "Busiest expert", "Peak memory"];
  page.append(make("div", { class: "scroll runs", style: "margin-top:20px", tabindex: "0", role: "region", "aria-label": "Runs" },
    make("table", {}, make("thead", {}, make("tr", {}, ...names.map((name, i) => make("th", { scope: "col", class: i < 3 ? "text" : null }, name)))), make("tbody", {}, ...rows))));
}

function settingsSection() {
  const maps = runs.map((run) => new Map(run.settings)), keys = [...new Set(runs.flatMap((run) => run.settings.map(([key]) => key)))];
  if (keys.length === 0) return;
  const differing = keys.filter((key) => new Set(maps.map((map) => map.get(key))).size > 1);
  const table = (chosen) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Configuration" }, make("table", {},
    make("thead", {}, make("tr", {}, make("th", { class: "text", scope: "col" }, "Key"), ...runs.map((run) => make("th", { class: "text", scope: "col" }, many ? run.name : "Value")))),
    make("tbody", {}, ...chosen.map((key) => make("tr", {}, make("td", { class: "text" }, key), ...maps.map((map) => make("td", { class: "text" }, map.get(key) ?? "–")))))));
  const box = make("section", { "aria-label": "Configuration" }, make("h2", {}, "Configuration"));
  if (many) box.append(differing.length ? table(differing) : make("p", { class: "lead" }, "The runs have the same configuration."));
  box.append(make("details", {}, make("summary", {}, many ? "All keys" : `All ${keys.length} keys`), table(keys)));
  page.append(box);
}

page.replaceChildren();
head();
curvesSection();
timeSection();
populationSection();
detailSections();
settingsSection();
page.append(make("footer", {}, `hecate ${data.version}. Every chart: hover or arrow keys for values; SVG and PNG save what is shown.`));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.redraw()));
