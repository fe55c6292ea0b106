"""Writes fixtures/<variant>.safetensors and fixtures/layers.safetensors; see README.md.

python make_fixtures.py [NAME ...]       rewrites the fixtures (all, or those named)
python make_fixtures.py --search [NAME]  prints the first seeds whose routing has no near ties
"""

import argparse
from dataclasses import asdict
import json
from pathlib import Path

from safetensors.torch import save_file
import torch

from layer_fixtures import layer_fixtures
from model import Optimizer, forward, train_curve
from variants import BATCHES, STEPS, VARIANTS, random_batches, random_weights

FIXTURES = Path(__file__).parent / "fixtures"
INITIAL_MARGIN, CURVE_MARGIN, CURVE_SENSITIVITY = 1e-3, 1e-4, 1e-5


def gradients(c, router, weights, batch):
    tokens, targets, documents = batch
    p = {n: w.clone().requires_grad_(not n.endswith("router_bias")) for n, w in weights.items()}
    result = forward(c, router, p, tokens, documents, targets)
    result.loss.backward()
    found = {n: w.grad for n, w in p.items() if w.requires_grad}
    return result, {n: torch.zeros_like(p[n]) if g is None else g for n, g in found.items()}


def curve(variant, weights, batches):
    c, router = variant.configs
    return train_curve(c, router, Optimizer(), weights, batches, STEPS)[0]


def difference(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-30)).item()


def rounding(variant, weights, batches, exact, exact_gradients, exact_curve):
    """How far the same computation in float32 is from the float64 one."""
    c, router = variant.configs
    single = {n: w.float() for n, w in weights.items()}
    result, grads = gradients(c, router, single, batches[0])
    rows = curve(variant, single, batches)
    return dict(
        logits=(result.logits.double() - exact.logits).abs().max().item(),
        gradient=max(difference(grads[n], g) for n, g in exact_gradients.items()),
        curve=max(abs(a[0] - b[0]) / abs(b[0]) for a, b in zip(rows, exact_curve)),
    )


def routing_tensors(c, result):
    """Per layer (0 where dense): losses, choices per expert before capacity, dropped choices."""
    layers = range(c.layers)
    empty = torch.zeros(c.experts, dtype=torch.long)
    tensors = {
        "balance_loss": [
            result.routing[i].balance.item() if i in result.routing else 0.0 for i in layers
        ],
        "z_loss": [result.routing[i].z.item() if i in result.routing else 0.0 for i in layers],
        "dropped": [
            int((~result.routing[i].kept).sum()) if i in result.routing else 0 for i in layers
        ],
    }
    tensors = {name: torch.tensor(values) for name, values in tensors.items()}
    counts = [result.routing[i].counts() if i in result.routing else empty for i in layers]
    tensors["counts"] = torch.stack(counts)
    for i, routing in result.routing.items():
        tensors[f"layers.{i}.experts"] = routing.experts
        tensors[f"layers.{i}.weights"] = routing.weights
    return tensors


def storable(tensors):
    return {
        name: tensor.detach()
        .to(torch.float32 if tensor.is_floating_point() else torch.int32)
        .contiguous()
        for name, tensor in tensors.items()
    }


def variant_fixture(variant):
    c, router = variant.configs
    weights = random_weights(c, variant.seed)
    batches = random_batches(variant, variant.seed)
    result, grads = gradients(c, router, weights, batches[0])
    rows = curve(variant, weights, batches)
    margin = result.margin(), min(row[3] for row in rows)
    assert margin[0] > INITIAL_MARGIN and margin[1] > CURVE_MARGIN, (variant.name, margin)
    tokens, targets, documents = zip(*batches)
    tensors = {
        **weights,
        **{f"grad.{name}": g for name, g in grads.items()},
        **routing_tensors(c, result),
        "tokens": torch.stack(tokens),
        "targets": torch.stack(targets),
        "logits": result.logits,
        "loss": result.loss[None],
        "cross_entropy": result.cross_entropy[None],
        "curve": torch.tensor([row[0] for row in rows], dtype=torch.float64),
        "curve.cross_entropy": torch.tensor([row[1] for row in rows], dtype=torch.float64),
        "curve.grad_norm": torch.tensor([row[2] for row in rows], dtype=torch.float64),
    }
    if variant.documents:
        tensors["document_begin"] = torch.stack(documents)
    metadata = {
        "config": {"model": variant.model, "router": variant.router},
        "batch": {"sequences": variant.sequences, "sequence": c.sequence, "batches": BATCHES},
        "optimizer": asdict(Optimizer()),
        "margin": {"first_step": margin[0], "curve": margin[1]},
    }
    errors = rounding(variant, weights, batches, result, grads, rows)
    line = " ".join(f"{key} {value:.1e}" for key, value in errors.items())
    print(
        f"{variant.name:14} loss {rows[0][0]:.3f} -> {rows[-1][0]:.3f}, margin {margin[0]:.1e} "
        f"(curve {margin[1]:.1e}), dropped {tensors['dropped'].sum()}; float32 errors: {line}"
    )
    return storable(tensors), {key: json.dumps(value) for key, value in metadata.items()}


def sensitivity(variant, weights, batches, exact_curve):
    """Largest relative change of the curve when weights move by a few float32 roundings. AdamW
    turns the noise of a gradient near zero into a step of full size, so it is not always small."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(3):
        moved = {
            n: w * (1 + 3e-7 * torch.randn(w.shape, generator=generator, dtype=w.dtype))
            for n, w in weights.items()
        }
        rows = curve(variant, moved, batches)
        worst = max([worst] + [abs(a[0] - b[0]) / b[0] for a, b in zip(rows, exact_curve)])
    return worst


def search(variant):
    """Seeds are tried in order; the cheap conditions come first."""
    c, router = variant.configs
    for seed in range(10_000):
        weights, batches = random_weights(c, seed), random_batches(variant, seed)
        tokens, targets, documents = batches[0]
        if forward(c, router, weights, tokens, documents).margin() < 2 * INITIAL_MARGIN:
            continue
        rows = curve(variant, weights, batches)
        margin = min(row[3] for row in rows)
        if margin < 3 * CURVE_MARGIN:
            continue
        moved = sensitivity(variant, weights, batches, rows)
        if moved < CURVE_SENSITIVITY:
            print(
                f"{variant.name}: seed {seed}, margin {margin:.1e}, sensitivity {moved:.1e}",
                flush=True,
            )
            return


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=[v.name for v in VARIANTS] + ["layers"])
    parser.add_argument("--search", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    FIXTURES.mkdir(exist_ok=True)
    for variant in (v for v in VARIANTS if v.name in arguments.names):
        if arguments.search:
            search(variant)
        else:
            tensors, metadata = variant_fixture(variant)
            save_file(tensors, FIXTURES / f"{variant.name}.safetensors", metadata)
    if "layers" in arguments.names and not arguments.search:
        tensors, description = layer_fixtures()
        metadata = {"description": json.dumps(description)}
        save_file(storable(tensors), FIXTURES / "layers.safetensors", metadata)


if __name__ == "__main__":
    main()
