"""SVG pictures of curves, without libraries."""
import math

COLOURS = ("#1f6fb4", "#d9822b", "#3a9a4a", "#b5403a", "#7d5ba6", "#777777", "#17a2b8", "#8c6d31",
           "#c2185b")
LEFT, TOP, WIDTH, HEIGHT = 80, 40, 560, 300


def short(value):
    for factor, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def curves_svg(title, x_label, y_label, curves, log_x=False):
    """`curves`: name -> list of (x, y). Points are marked where there are few."""
    place = math.log if log_x else float
    points = [(place(x), y) for curve in curves.values() for x, y in curve]
    if not points:
        raise ValueError(f"{title}: nothing to draw")
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points))
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1)

    def at(x, y):
        return (LEFT + WIDTH * (place(x) - x0) / (x1 - x0), TOP + HEIGHT * (y1 - y) / (y1 - y0))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 260}" height="400" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-weight="bold">{title}</text>',
           f'<text x="8" y="22">{y_label}</text>',
           f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 40}" '
           f'text-anchor="middle">{x_label}</text>']
    for tick in range(5):
        x, y = x0 + (x1 - x0) * tick / 4, y0 + (y1 - y0) * tick / 4
        height = TOP + HEIGHT * (1 - tick / 4)
        out.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{height}" y2="{height}" '
                   'stroke="#dddddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{height + 4}" text-anchor="end">{short(y)}</text>')
        out.append(f'<text x="{LEFT + WIDTH * tick / 4}" y="{TOP + HEIGHT + 18}" '
                   f'text-anchor="middle">{short(math.exp(x) if log_x else x)}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join("%.1f,%.1f" % at(x, y) for x, y in curve)
        out.append(f'<polyline fill="none" stroke-width="1.5" stroke="{colour}" points="{line}"/>')
        if len(curve) < 30:
            out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (*at(x, y), colour)
                    for x, y in curve]
        out.append(f'<rect x="{LEFT + WIDTH + 16}" y="{TOP + 18 * i}" width="10" height="10" '
                   f'fill="{colour}"/>')
        out.append(f'<text x="{LEFT + WIDTH + 32}" y="{TOP + 18 * i + 9}">{name}</text>')
    return "\n".join(out + ["</svg>\n"])
