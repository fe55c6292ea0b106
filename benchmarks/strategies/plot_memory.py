#!/usr/bin/env python3
"""Stacked bars of what the fullest rank holds under each strategy.

    HECATE_MEMORY_RECORDS=memory.jsonl build/release/tests/launcher/train/peak_memory_test
    benchmarks/strategies/plot_memory.py memory.jsonl docs/memory.svg

Reads lines {"label", "peak_bytes": {category: bytes}, "total", "mean_total"}; prints the table of
docs/sharding.md.
"""
import json
import sys

COLOURS = {"parameters": "#1f6fb4", "gradients": "#d9822b", "optimizer": "#3a9a4a",
           "materialized": "#b5403a", "activations": "#7d5ba6", "buffers": "#777777",
           "communicator": "#c9a227"}
LEFT, TOP, HEIGHT, BAR, GAP = 60, 30, 260, 70, 40
MIB = 1 << 20


def text(x, y, words, more=""):
    return f'<text x="{x:g}" y="{y:g}" {more}>{words}</text>'


def svg(runs):
    """The picture as text. @param runs: records, left to right."""
    top = max(run["total"] for run in runs) / MIB * 1.05
    width = LEFT + len(runs) * (BAR + GAP) + 150
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 40}"'
             ' font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             text(LEFT, TOP - 12, "Peak memory of the fullest rank, MiB", 'font-weight="bold"')]
    for tick in range(5):
        value = top * tick / 4
        y = TOP + HEIGHT * (1 - tick / 4)
        parts.append(f'<line x1="{LEFT}" y1="{y:g}" x2="{width - 150}" y2="{y:g}"'
                     ' stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{value:.0f}", 'text-anchor="end"'))
    for index, run in enumerate(runs):
        x, y = LEFT + GAP / 2 + index * (BAR + GAP), float(TOP + HEIGHT)
        for category, colour in COLOURS.items():
            height = HEIGHT * run["peak_bytes"].get(category, 0) / MIB / top
            y -= height
            parts.append(f'<rect x="{x:g}" y="{y:.2f}" width="{BAR}" height="{height:.2f}"'
                         f' fill="{colour}"/>')
        parts.append(text(x + BAR / 2, y - 4, f'{run["total"] / MIB:.1f}', 'text-anchor="middle"'))
        parts.append(text(x + BAR / 2, TOP + HEIGHT + 18, run["label"], 'text-anchor="middle"'))
    for index, (category, colour) in enumerate(COLOURS.items()):
        y = TOP + 18 * index
        parts.append(f'<rect x="{width - 140}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(width - 124, y + 9, category))
    return "\n".join(parts + ["</svg>", ""])


def table(runs):
    """Lines of Markdown, MiB."""
    columns = ["strategy", *COLOURS, "total", "mean of the ranks"]
    rows = [columns, ["---"] * len(columns)]
    for run in runs:
        cells = [run["peak_bytes"].get(category, 0) for category in COLOURS]
        cells += [run["total"], run["mean_total"]]
        rows.append([run["label"]] + [f"{cell / MIB:.2f}" for cell in cells])
    return ["| " + " | ".join(row) + " |" for row in rows]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        runs = [json.loads(line) for line in file if line.strip()]
    order = ["ep", "fssdp", "fssdp-rm", "fssdp-rm, depth 0"]
    runs.sort(key=lambda run: order.index(run["label"]))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(svg(runs))
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
