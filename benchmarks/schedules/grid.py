"""What the benchmark of schedules computes from finished runs; starts nothing."""
import math

PAPER_EXPONENTS = (1.0, -0.51)  # of the batch and of the tokens, arXiv 2408.13359


def best_rate(losses):
    """(rate, loss) at the lowest point of a parabola over log rate through the best run and its
    neighbours, and whether the best run lies inside the rates tried. `losses`: rate -> loss."""
    rates = sorted(losses)
    at = min(range(len(rates)), key=lambda i: losses[rates[i]])
    if at in (0, len(rates) - 1):
        return rates[at], losses[rates[at]], False
    x = [math.log(rates[at + i]) for i in (-1, 0, 1)]
    y = [losses[rates[at + i]] for i in (-1, 0, 1)]
    if math.inf in y:
        return rates[at], y[1], True
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    curve = (right - left) / (x[2] - x[0])
    if curve <= 0:
        return rates[at], y[1], True
    place = (x[0] + x[1] - left / curve) / 2
    loss = y[1] + (place - x[1]) * (left + curve * (place - x[0]))
    return math.exp(place), loss, True


def solve(matrix, values):
    """The solution of a small linear system, by elimination with pivoting."""
    n = len(values)
    rows = [list(row) + [value] for row, value in zip(matrix, values)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        if abs(rows[pivot][i]) < 1e-12:
            raise ValueError("the cells do not determine the fit: more batches and budgets needed")
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def fit_power_law(cells):
    """(factor, exponent of the batch, exponent of the tokens) of rate = factor batch^p tokens^q,
    least squares over the logarithms. `cells`: (batch in sequences of 4096 tokens, tokens, rate)."""
    features = [(1.0, math.log(b), math.log(t)) for b, t, _ in cells]
    rates = [math.log(r) for _, _, r in cells]
    matrix = [[sum(f[i] * f[j] for f in features) for j in range(3)] for i in range(3)]
    k, p, q = solve(matrix, [sum(f[i] * r for f, r in zip(features, rates)) for i in range(3)])
    return math.exp(k), p, q


def worst_excess(losses, best):
    """The largest loss / best - 1 over the cells, and its cell. Both: cell -> loss."""
    return max((losses[cell] / best[cell] - 1, cell) for cell in best)


def smoothed(losses, width):
    """Mean of the last `width` values at each place."""
    out, total = [], 0.0
    for i, loss in enumerate(losses):
        total += loss - (losses[i - width] if i >= width else 0)
        out.append(total / min(i + 1, width))
    return out


def hopeless(losses, reference, steps, share=0.4, factor=1.15, width=20):
    """Whether a run of `steps` steps can be given up: past `share` of it, its smoothed loss is
    above `factor` times that of the cell's best run at the same step. A high rate's loss lies a
    little above until it decays, so the factor is generous."""
    done = len(losses)
    if done < share * steps or len(reference) < done or done < width:
        return False
    return smoothed(losses, width)[-1] > factor * smoothed(reference[:done], width)[-1]
