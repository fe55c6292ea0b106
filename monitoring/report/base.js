// Helpers that every chart uses: elements, number formats, colours, scales.
const SVG = "http://www.w3.org/2000/svg";

// Text is always set as text, so that nothing in the data is taken for markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(parent, tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const format = {
  // Four digits, with k, M, G, T for thousands.
  number(value) {
    if (!isNumber(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e15)) return value.toExponential(2);
    for (const [factor, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]])
      if (size >= factor)
        return String(Number((value / (unit === "k" ? 1e3 : factor)).toPrecision(3))) + unit;
    return String(Number(value.toPrecision(4)));
  },
  whole: (value) => isNumber(value) ? Math.round(value).toLocaleString("en-US") : "–",
  bytes(value) {
    if (!isNumber(value)) return "–";
    let unit = 0;
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    while (Math.abs(value) >= 1024 && unit < units.length - 1) { value /= 1024; ++unit; }
    return Number(value.toPrecision(3)) + " " + units[unit];
  },
  seconds(value) {
    if (!isNumber(value)) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0 s";
    if (size < 1e-3) return Number((value * 1e6).toPrecision(3)) + " µs";
    if (size < 1) return Number((value * 1e3).toPrecision(3)) + " ms";
    if (size < 120) return Number(value.toPrecision(3)) + " s";
    if (size < 7200) return Number((value / 60).toPrecision(3)) + " min";
    return Number((value / 3600).toPrecision(3)) + " h";
  },
  percent: (value) => isNumber(value) ? Number((100 * value).toPrecision(3)) + " %" : "–",
  ratio: (value) => isNumber(value) ? Number(value.toPrecision(3)) + "×" : "–",
};

// Colours as the style sheet gives them for light or dark; pictures carry the values themselves.
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue("--" + name).trim();
  const theme = { series: [], heat: [] };
  for (const name of ["page", "surface", "ink", "soft", "muted", "line", "grid", "accent", "warn", "rest"])
    theme[name] = colour(name);
  for (let i = 1; i <= 8; ++i) theme.series.push(colour("c" + i));
  for (let i = 0; i <= 3; ++i) theme.heat.push(colour("heat" + i));
  return theme;
}

const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const seriesColour = (theme, index) => index < 0 ? theme.rest : theme.series[index % theme.series.length];
const seriesDash = (theme, index) => DASHES[Math.floor(index / theme.series.length) % DASHES.length];

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
function mix(from, to, share) {
  const a = channels(from), b = channels(to);
  return "#" + a.map((value, i) =>
    Math.round(value + (b[i] - value) * share).toString(16).padStart(2, "0")).join("");
}
// A share of 0 to 1 on the heat scale.
function heatColour(theme, share) {
  const at = clamp(share, 0, 1) * (theme.heat.length - 1), low = Math.min(Math.floor(at), theme.heat.length - 2);
  return mix(theme.heat[low], theme.heat[low + 1], at - low);
}
// Black or white, whichever is easier to read on the colour.
function inkOn(colour) {
  const [r, g, b] = channels(colour);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111111" : "#ffffff";
}

function niceStep(span, count) {
  const raw = span / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 2.5, 5, 10].find((each) => each * power >= raw * 0.999) ?? 10;
  return factor * power;
}

// A scale from values to pixels: { at, ticks }.
// binary: for bytes, so that ticks are round in KiB, MiB and so on.
function linearScale(low, high, from, to, count, { whole = false, binary = false } = {}) {
  if (!(high > low)) { high = low + (Math.abs(low) || 1) * 0.5; low = low - (Math.abs(low) || 1) * 0.5; }
  let step = binary ? 2 ** Math.max(0, Math.round(Math.log2((high - low) / count))) : niceStep(high - low, count);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step)
    ticks.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  return { low, high, ticks, at: (value) => from + (to - from) * (value - low) / (high - low) };
}
function logScale(low, high, from, to, count) {
  if (!(high > low)) { high = low * 2; low = low / 2; }
  const a = Math.log10(low), b = Math.log10(high), decades = b - a;
  const factors = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : decades > 0.6 ? [1, 2, 5] : null;
  let ticks = [];
  if (factors === null) ticks = linearScale(low, high, 0, 1, count).ticks.filter((tick) => tick > 0);
  else
    for (let power = Math.floor(a); power <= Math.ceil(b); ++power)
      for (const factor of factors) {
        const tick = factor * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
  return { low, high, ticks, at: (value) => from + (to - from) * (Math.log10(value) - a) / (b - a) };
}
// Values get room above and below, zero stays at the edge.
function padded(low, high, fromZero) {
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [fromZero || (low >= 0 && low - room < 0) ? Math.min(0, low) : low - room, high + room];
}
