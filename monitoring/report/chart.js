// A chart's frame: caption, legend, plot with hover and keyboard, export, table of values.
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const TEXT = 12;
const charts = [];

const textWidth = (text, size = TEXT) => String(text).length * size * 0.58;
const label = (parent, x, y, text, attributes = {}) =>
  draw(parent, "text", { x, y, "font-size": TEXT, "font-family": FONT, ...attributes }, text);

// options: id, title, about, height, wide, legend(theme) -> [{name, colour, toggle}], controls
//   (nodes), render(frame) -> { rows, columns, values }.
// frame: { svg, width, height, theme, hidden (names), compact }.
// rows: what can be pointed at, a list of lists of { x, y, w, h, title, lines, dots, rule }.
// values: { head: [...], rows: [[...]] }, made when it is asked for.
class Chart {
  constructor(parent, options) {
    this.options = options;
    this.hidden = new Set();
    this.legend = make("div", { class: "legend" });
    this.plot = make("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart",
      "aria-label": `${options.title}. Arrow keys show values, Escape ends.` });
    this.tip = make("div", { class: "tip" });
    this.tip.hidden = true;
    this.spoken = make("div", { class: "hidden", "aria-live": "polite" });
    this.table = make("div", { class: "values", tabindex: "0", role: "region",
      "aria-label": "Values of " + options.title });
    this.table.hidden = true;
    const tool = (name, hint, action) =>
      make("button", { type: "button", title: hint, "aria-label": `${hint}: ${options.title}`, onclick: action }, name);
    this.valuesButton = tool("Values", "Show values as a table", () => this.showValues());
    this.valuesButton.setAttribute("aria-expanded", "false");
    this.figure = make("figure", { id: options.id, class: options.wide ? "chart wide" : "chart" },
      make("div", { class: "top" }, make("figcaption", {}, make("h3", {}, options.title), make("p", {}, options.about ?? "")),
        options.controls ? make("div", { class: "controls" }, ...options.controls.filter((each) => each)) : null),
      this.legend, this.plot, this.spoken,
      make("div", { class: "tools" }, this.valuesButton,
        tool("SVG", "Save as SVG", () => this.saveSvg()), tool("PNG", "Save as PNG", () => this.savePng())),
      this.table);
    parent.append(this.figure);
    this.listen();
    this.width = 0;
    new ResizeObserver(() => this.resized()).observe(this.plot);
    charts.push(this);
    this.redraw();
  }

  resized() {
    if (Math.abs(this.plot.clientWidth - this.width) >= 1) this.redraw();
  }

  redraw() {
    const width = this.plot.clientWidth;
    if (width < 40) return;
    this.width = width;
    const theme = readTheme();
    this.drawLegend(theme);
    const { svg, drawn } = this.picture(theme, width);
    this.drawn = drawn;
    this.overlay = draw(svg, "g", { "pointer-events": "none" });
    svg.setAttribute("aria-hidden", "true");
    this.plot.replaceChildren(svg, this.tip);
    this.leave();
    if (!this.table.hidden) this.fillValues();
  }

  picture(theme, width) {
    const height = typeof this.options.height === "function" ? this.options.height(width) : this.options.height ?? 230;
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` }))
      svg.setAttribute(name, value);
    const drawn = this.options.render({ svg, width, height, theme, hidden: this.hidden, compact: width < 520 });
    return { svg, drawn, height };
  }

  entries(theme) { return this.options.legend ? this.options.legend(theme) : []; }

  drawLegend(theme) {
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.legend.replaceChildren(...this.entries(theme).map((entry) => {
      const swatch = make("span", { class: "swatch", style: `background:${entry.colour}` });
      if (!entry.toggle) return make("span", { class: "key" }, swatch, entry.name);
      return make("button", { type: "button", "aria-pressed": String(!this.hidden.has(entry.name)), title: "Show or hide",
        onclick: () => {
          this.hidden.has(entry.name) ? this.hidden.delete(entry.name) : this.hidden.add(entry.name);
          this.redraw();
        } }, swatch, entry.name);
    }));
    this.legend.hidden = this.legend.childElementCount === 0;
    for (const button of this.legend.querySelectorAll("button"))
      if (button.textContent === focused) button.focus();
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => {
      const box = this.plot.getBoundingClientRect();
      this.show(this.nearest(event.clientX - box.left, event.clientY - box.top), false);
    });
    this.plot.addEventListener("pointerleave", () => this.leave());
    this.plot.addEventListener("blur", () => this.leave());
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  nearest(x, y) {
    let best = null, least = Infinity;
    const gap = (value, begin, size) => Math.max(begin - value, value - begin - size, 0);
    this.drawn.rows.forEach((row, r) => {
      if (row.length === 0) return;
      const down = gap(y, row[0].y, row[0].h) * 1000;
      if (down >= least) return;
      row.forEach((stop, i) => {
        const across = gap(x, stop.x, stop.w) + Math.abs(x - stop.x - stop.w / 2) * 1e-3;
        if (down + across < least) { least = down + across; best = { row: r, index: i }; }
      });
    });
    return best;
  }

  key(event) {
    const rows = this.drawn.rows;
    if (event.key === "Escape") { this.leave(); return; }
    const sideways = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    const move = sideways[event.key], down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if ((move === undefined && down === undefined) || event.target !== this.plot) return;
    const first = rows.findIndex((row) => row.length > 0);
    if (first < 0) return;
    event.preventDefault();
    if (!this.at) { this.show({ row: first, index: move < 0 ? rows[first].length - 1 : 0 }, true); return; }
    if (move !== undefined) {
      const last = rows[this.at.row].length - 1;
      this.show({ row: this.at.row, index: clamp(this.at.index + move, 0, last) }, true);
      return;
    }
    let row = this.at.row + down;
    while (rows[row] && rows[row].length === 0) row += down;
    if (!rows[row]) return;
    const here = rows[this.at.row][this.at.index], middle = here.x + here.w / 2;
    const index = rows[row].reduce((best, stop, i) =>
      Math.abs(stop.x + stop.w / 2 - middle) < Math.abs(rows[row][best].x + rows[row][best].w / 2 - middle) ? i : best, 0);
    this.show({ row, index }, true);
  }

  show(at, speak) {
    if (!at) return;
    this.at = at;
    const stop = this.drawn.rows[at.row][at.index], theme = readTheme();
    const said = typeof stop.lines === "function" ? stop.lines() : stop.lines;
    this.overlay.replaceChildren();
    if (stop.rule)
      draw(this.overlay, "line", { x1: stop.x + stop.w / 2, x2: stop.x + stop.w / 2, y1: stop.y, y2: stop.y + stop.h,
        stroke: theme.muted, "stroke-width": 1 });
    else
      draw(this.overlay, "rect", { x: stop.x, y: stop.y, width: Math.max(stop.w, 2), height: stop.h, fill: "none",
        stroke: theme.ink, "stroke-width": 1.5, rx: 2 });
    for (const dot of stop.dots ?? [])
      draw(this.overlay, "circle", { cx: dot.x, cy: dot.y, r: 4, fill: dot.colour, stroke: theme.surface, "stroke-width": 2 });
    const shown = said.slice(0, 12);
    this.tip.replaceChildren(make("strong", {}, stop.title), ...shown.map((line) =>
      make("div", {}, make("span", {}, line.colour ? make("span", { class: "swatch", style: `background:${line.colour}` }) : null,
        line.name), make("b", {}, line.value))));
    if (said.length > shown.length) this.tip.append(make("div", {}, `and ${said.length - shown.length} more`));
    this.tip.hidden = false;
    const wide = this.tip.offsetWidth, middle = stop.x + stop.w / 2, right = Math.max(stop.x + stop.w, middle) + 12;
    const left = right + wide <= this.width ? right : Math.min(stop.x, middle) - wide - 12;
    this.tip.style.left = clamp(left, 0, Math.max(0, this.width - wide)) + "px";
    this.tip.style.top = clamp(stop.y + (stop.rule ? 8 : -this.tip.offsetHeight - 8), -8, 1e4) + "px";
    if (speak) this.spoken.textContent = stop.title + ": " + said.map((line) => `${line.name} ${line.value}`).join(", ");
  }

  leave() {
    this.at = null;
    this.tip.hidden = true;
    if (this.overlay) this.overlay.replaceChildren();
  }

  showValues() {
    this.table.hidden = !this.table.hidden;
    this.valuesButton.setAttribute("aria-expanded", String(!this.table.hidden));
    if (!this.table.hidden) this.fillValues();
  }

  fillValues() {
    const most = 400;
    const { head, rows } = this.drawn.values();
    this.table.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.slice(0, most).map((row) => make("tr", {}, ...row.map((value) => make("td", {}, String(value))))))));
    if (rows.length > most) this.table.append(make("p", { class: "missing" }, `The first ${most} of ${rows.length} rows.`));
  }

  // The picture with its title and legend in it, on its own background.
  exported() {
    const width = 960, theme = readTheme(), margin = 20;
    const { svg, height } = this.picture(theme, width);
    let y = 46, x = margin;
    const head = draw(svg, "g");
    label(head, margin, 24, this.options.title, { "font-size": 16, "font-weight": 600, fill: theme.ink });
    for (const entry of this.entries(theme)) {
      const wide = textWidth(entry.name) + 34;
      if (x + wide > width + margin) { x = margin; y += 20; }
      draw(head, "rect", { x, y: y - 10, width: 11, height: 11, rx: 3, fill: entry.colour });
      label(head, x + 17, y, entry.name, { fill: theme.soft });
      x += wide;
    }
    const top = y + (this.entries(theme).length ? 14 : -8), whole = width + 2 * margin;
    const body = draw(svg, "g", { transform: `translate(${margin} ${top})` });
    for (const child of [...svg.childNodes]) if (child !== head && child !== body) body.append(child);
    const size = { width: whole, height: top + height + 12 };
    for (const [name, value] of Object.entries({ ...size, viewBox: `0 0 ${size.width} ${size.height}` }))
      svg.setAttribute(name, value);
    const back = draw(svg, "rect", { ...size, fill: theme.surface });
    svg.prepend(back);
    return { text: new XMLSerializer().serializeToString(svg), ...size };
  }

  saveSvg() {
    this.save(new Blob([this.exported().text], { type: "image/svg+xml" }), "svg");
  }

  savePng() {
    const { text, width, height } = this.exported();
    const image = new Image();
    image.onload = () => {
      const canvas = make("canvas", { width: 2 * width, height: 2 * height }), context = canvas.getContext("2d");
      context.drawImage(image, 0, 0, 2 * width, 2 * height);
      canvas.toBlob((blob) => this.save(blob, "png"), "image/png");
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  }

  save(blob, ending) {
    const link = make("a", { href: URL.createObjectURL(blob), download: `${this.options.id}.${ending}` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}

// Axes around a plot area; returns it. y: a scale made for it later through yScale(top, bottom).
function axes({ svg, width, height, theme }, { makeX, makeY, xLabel, xFormat, yFormat, yLabels }) {
  const top = 10, bottom = height - 38;
  const y = makeY ? makeY(bottom, top) : null;
  const names = y ? y.ticks.map(yFormat) : yLabels ?? [];
  const left = Math.ceil(Math.max(26, ...names.map((name) => textWidth(name) + 10)));
  const right = width - 12;
  const x = makeX(left, right);
  for (const [i, tick] of (y ? y.ticks : []).entries()) {
    const at = Math.round(y.at(tick)) + 0.5;
    draw(svg, "line", { x1: left, x2: right, y1: at, y2: at, stroke: theme.grid });
    label(svg, left - 8, at + 4, names[i], { "text-anchor": "end", fill: theme.muted });
  }
  let taken = -Infinity;
  for (const tick of x.ticks) {
    const text = xFormat(tick), at = x.at(tick), half = textWidth(text) / 2;
    if (at - half < taken + 6) continue;
    label(svg, Math.min(at, width - half), bottom + 17, text, { "text-anchor": "middle", fill: theme.muted });
    taken = at + half;
  }
  draw(svg, "line", { x1: left, x2: right, y1: bottom + 0.5, y2: bottom + 0.5, stroke: theme.line });
  label(svg, right, bottom + 33, xLabel, { "text-anchor": "end", fill: theme.muted });
  return { left, right, top, bottom, x, y };
}
