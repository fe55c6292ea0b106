"""The model variants that have fixtures: keys that differ from the defaults, and random contents."""

from dataclasses import dataclass

import torch

from config import Model, Router, parameter_shapes

SEQUENCES = 2
BATCHES = 3
STEPS = 20


@dataclass
class Variant:
    name: str
    model: dict
    router: dict
    seed: int = 0  # chosen such that routing is never near a tie, see make_fixtures.py
    sequences: int = SEQUENCES
    documents: bool = False

    @property
    def configs(self):
        return Model(**self.model), Router(**self.router)


def _tiny(**changes):
    keys = dict(
        vocabulary=61, sequence=13, layers=2, d_model=24, heads=3, experts=4, expert_hidden=16
    )
    return {**keys, **changes}


VARIANTS = [
    Variant(
        "gpt",
        _tiny(norm="layer", positions="learned", activation="gelu_tanh", gate="gshard"),
        dict(),
    ),
    Variant(
        "mixtral",
        _tiny(d_model=32, heads=4, kv_heads=2, sequence=16, tied_head=False),
        dict(balance_loss=0.02),
        seed=1,
    ),
    Variant(
        "olmoe",
        _tiny(heads=2, qk_norm="full", gate="softmax", experts=6, top_k=3, tied_head=False),
        dict(z_loss=0.001),
    ),
    Variant(
        "qwen3",
        _tiny(
            heads=4,
            kv_heads=2,
            head_dim=10,
            qk_norm="head",
            experts=8,
            top_k=4,
            expert_hidden=10,
            tied_head=False,
            norm_eps=1e-6,
            rope_theta=1e6,
        ),
        dict(balance_loss=0.001),
        seed=2,
    ),
    Variant(
        "latent",
        _tiny(
            attention="latent",
            kv_lora_rank=14,
            nope_dim=6,
            rope_dim=4,
            v_dim=5,
            activation="squared_relu",
            dense_hidden=40,
            moe_layers="from:1",
            experts=5,
            gate="softmax",
            shared_experts=1,
            sequence=12,
        ),
        dict(),
    ),
    Variant(
        "switch",
        _tiny(gate="switch", top_k=1, activation="gelu", moe_layers="every:2", expert_hidden=24),
        dict(capacity_factor=1.0),
    ),
    Variant(
        "sigmoid_bias",
        _tiny(gate="sigmoid_bias", experts=6, shared_experts=2, expert_hidden=12),
        dict(routed_scale=2.5, bias_rate=0.01),
        seed=26,
    ),
    Variant(
        "bert",
        _tiny(
            objective="masked",
            norm="layer",
            positions="learned",
            activation="gelu",
            gate="softmax",
            sequence=17,
        ),
        dict(),
        sequences=3,
        seed=10,
    ),
    Variant(
        "documents",
        _tiny(heads=2, sequence=17),
        dict(z_loss=0.01),
        documents=True,
        seed=11,
    ),
    Variant(
        "batch_balance",
        _tiny(positions="none", tied_head=False),
        dict(balance_scope="batch", balance_loss=0.05),
        sequences=3,
        seed=6,
    ),
]


def random_weights(c, seed):
    """Values that float32 holds exactly, in float64. Matrices keep the scale of their input; norms
    are spread around 1, router biases around 0; router logits spread over about +-2."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in parameter_shapes(c).items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        if name.endswith("norm.weight"):
            weight = 1 + 0.2 * noise
        elif name.endswith("norm.bias") or name.endswith("router_bias"):
            weight = 0.1 * noise
        elif name.startswith("embedding"):
            weight = 0.4 * noise
        elif name.endswith("router"):
            weight = 2 * noise / shape[1] ** 0.5
        else:
            weight = noise / shape[1] ** 0.5
        weights[name] = weight.double()
    return weights


def _documents(sequences, length, generator):
    """Index of the first token of each token's document, over the flattened batch."""
    begin = torch.zeros(sequences, length, dtype=torch.long)
    for s in range(sequences):
        for t in range(length):
            fresh = t == 0 or torch.rand((), generator=generator) < 0.2
            begin[s, t] = s * length + t if fresh else begin[s, t - 1]
    return begin


def random_batches(variant, seed):
    """Batches of (tokens, targets, document_begin or None), each [S,T]. Tokens often follow a
    fixed successor, so that there is something to learn; some targets are -1."""
    c, _ = variant.configs
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    size = (variant.sequences, c.sequence)
    successor = torch.randperm(c.vocabulary, generator=generator)

    def integers():
        return torch.randint(c.vocabulary, size, generator=generator)

    batches = []
    for _ in range(BATCHES):
        text, other = integers(), integers()
        follows = torch.rand(size, generator=generator) < 0.7
        for t in range(1, c.sequence):
            text[:, t] = torch.where(follows[:, t], successor[text[:, t - 1]], other[:, t])
        draw = torch.rand(size, generator=generator)
        if c.objective == "masked":
            targets = torch.where(draw < 0.2, text, -1)
            text = torch.where(draw < 0.16, c.vocabulary - 1, text)
        else:
            last = integers()[:, :1]
            targets = torch.where(draw < 0.15, -1, torch.cat([text[:, 1:], last], 1))
            targets[:, -1] = last[:, 0]  # else nothing but balance losses reaches that token
        documents = _documents(*size, generator) if variant.documents else None
        batches.append((text, targets, documents))
    return batches
