// Horizontal bars, one per run or kind, made of parts.

// bars: [{ name, parts: [{ name, value, colour, striped, about }] }]; options: { yFormat, label }.
function drawBars(frame, bars, options) {
  const { svg, width, height, theme, hidden } = frame;
  const bottom = height - 38, top = 4;
  // Names have a line of their own where there is little room.
  const above = frame.compact, left = above ? 8 : Math.ceil(Math.max(...bars.map((bar) => textWidth(bar.name))) + 14);
  const right = width - textWidth("000 ms") - 14;
  const shown = bars.map((bar) => ({ ...bar, parts: bar.parts.filter((part) => !hidden.has(part.name) && part.value > 0) }));
  const totals = shown.map((bar) => bar.parts.reduce((sum, part) => sum + part.value, 0));
  const scale = linearScale(0, greatest(totals, 1) || 1, left, right, (right - left) / 90);
  for (const tick of scale.ticks) {
    const x = Math.round(scale.at(tick)) + 0.5;
    draw(svg, "line", { x1: x, x2: x, y1: top, y2: bottom, stroke: theme.grid });
    label(svg, x, bottom + 17, options.yFormat(tick), { "text-anchor": tick === 0 ? "start" : "middle", fill: theme.muted });
  }
  label(svg, right, bottom + 33, options.label, { "text-anchor": "end", fill: theme.muted });
  const pitch = (bottom - top) / bars.length, tall = Math.min(30, pitch - (above ? 24 : 8));
  const rows = shown.map((bar, i) => {
    const y = top + i * pitch + (above ? 20 : (pitch - tall) / 2);
    if (above) label(svg, left, y - 6, bar.name, { fill: theme.soft });
    else label(svg, left - 10, y + tall / 2 + 4, bar.name, { "text-anchor": "end", fill: theme.soft });
    let sum = 0;
    const stops = bar.parts.map((part) => {
      const x = scale.at(sum), w = scale.at(sum += part.value) - x;
      const cell = { x, y, width: Math.max(w - 1.5, 0.5), height: tall };
      draw(svg, "rect", { ...cell, rx: Math.min(3, w / 3), fill: part.colour });
      if (part.striped) stripes(svg, cell, theme);
      const text = options.yFormat(part.value), room = w - 10;
      if (!part.striped && textWidth(`${part.name} ${text}`) < room)
        label(svg, x + 7, y + tall / 2 + 4, `${part.name} ${text}`, { fill: inkOn(part.colour) });
      else if (!part.striped && textWidth(text) < room)
        label(svg, x + 6, y + tall / 2 + 4, text, { fill: inkOn(part.colour) });
      return { x, y, w, h: tall, title: bar.name, lines: [{ name: part.about ?? part.name, colour: part.colour, value: text },
        { name: "share", value: format.percent(part.value / totals[i]) }] };
    });
    label(svg, scale.at(totals[i]) + 6, y + tall / 2 + 4, options.yFormat(totals[i]), { fill: theme.ink, "font-weight": 600 });
    return stops;
  });
  return { rows, values: () => ({ head: ["", "part", options.label, "share"], rows: shown.flatMap((bar, i) =>
    bar.parts.map((part) => [bar.name, part.about ?? part.name, options.yFormat(part.value), format.percent(part.value / totals[i])])) }) };
}

// Lines across a cell, as one path cut to it: pictures need no pattern of the page.
function stripes(svg, { x, y, width, height }, theme) {
  let d = "";
  for (let begin = x - height; begin < x + width; begin += 6) {
    const from = Math.max(begin, x), to = Math.min(begin + height, x + width);
    if (to > from) d += `M${round(from)} ${round(y + height - (from - begin))}L${round(to)} ${round(y + height - (to - begin))}`;
  }
  draw(svg, "path", { d, stroke: theme.surface, "stroke-width": 1.5, opacity: 0.55, fill: "none" });
}
