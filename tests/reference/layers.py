"""Layers of the reference model: norms, rotary positions, attention, gates, mixture of experts.

x is [..., features]; a matrix is [out, in]; S sequences of T tokens where a layer needs to know.
"""

from dataclasses import dataclass
import math

import torch


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps) * weight + bias


def rope(x, theta):
    """Rotates x [S,T,heads,N]; token t of its sequence has position t; pairs are (i, i + N/2)."""
    n, length = x.shape[-1], x.shape[1]
    frequency = theta ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    cos, sin = (f(angle).to(x.dtype)[None, :, None, :] for f in (torch.cos, torch.sin))
    first, second = x[..., : n // 2], x[..., n // 2 :]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def attend(q, k, v, scale, causal, document_begin=None):
    """q [S,T,H,N], k [S,T,G,N], v [S,T,G,M] -> [S,T,H,M]; head h reads key head h // (H/G).

    document_begin [S,T]: index of the first token of the token's document. Two tokens see each
    other (causally, if causal) only within one document.
    """
    length, group = q.shape[1], q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    scores = torch.einsum("sihn,sjhn->shij", q, k) * scale
    visible = torch.ones(length, length, dtype=torch.bool)
    if causal:
        visible = visible.tril()
    visible = visible[None, None]
    if document_begin is not None:
        visible = visible & (document_begin[:, None, :, None] == document_begin[:, None, None, :])
    scores = scores.masked_fill(~visible, -math.inf)
    return torch.einsum("shij,sjhm->sihm", scores.softmax(-1), v)


def activate(kind, x):
    if kind == "swiglu":
        gate, up = x.chunk(2, -1)
        return gate * torch.sigmoid(gate) * up
    if kind == "gelu":
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    if kind == "gelu_tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if kind == "squared_relu":
        return torch.relu(x) ** 2
    raise ValueError(kind)


def feed_forward(kind, x, up, down):
    return activate(kind, x @ up.T) @ down.T


# Routing.


@dataclass
class Routing:
    """What a gate decided for T tokens: logits, probabilities [T,E]; experts, weights, kept [T,K]."""

    logits: torch.Tensor
    probabilities: torch.Tensor
    experts: torch.Tensor
    weights: torch.Tensor
    margin: float  # smallest gap in the selection key whose change of sign would change a result
    kept: torch.Tensor = None
    balance: torch.Tensor = None
    z: torch.Tensor = None

    def counts(self):
        """Choices per expert, those dropped by capacity included."""
        return torch.bincount(self.experts.flatten(), minlength=self.logits.shape[1])


def gate(kind, logits, top_k, bias=None):
    """The experts of each token, best first, and their weights."""
    if kind == "sigmoid_bias":
        probabilities = torch.sigmoid(logits)
        key = probabilities + bias
    else:
        probabilities = torch.softmax(logits, -1)
        key = logits
    order = torch.argsort(key.detach(), dim=-1, descending=True, stable=True)
    experts = order[:, :top_k]
    weights = probabilities.gather(1, experts)
    if kind in ("softmax_renormalized", "gshard", "sigmoid_bias"):
        weights = weights / weights.sum(-1, keepdim=True)
    # gshard counts first choices, so their order among the chosen matters as well.
    gaps = -key.detach().gather(1, order).diff(dim=1)
    gaps = gaps[:, :top_k] if kind == "gshard" else gaps[:, top_k - 1 : top_k]
    return Routing(
        logits, probabilities, experts, weights, gaps.min().item() if gaps.numel() else math.inf
    )


def keep_within_capacity(experts, capacity):
    """An expert takes its first `capacity` choices: in token order, inside a token by k."""
    kept, taken = torch.ones_like(experts, dtype=torch.bool), {}
    for t, row in enumerate(experts.tolist()):
        for k, expert in enumerate(row):
            kept[t, k] = taken.get(expert, 0) < capacity
            taken[expert] = taken.get(expert, 0) + 1
    return kept


def balance_loss(kind, routing, spans):
    """E * sum_e f_e P_e, averaged over `spans` equal runs of tokens; f counts before capacity."""
    if kind == "sigmoid_bias":
        return routing.logits.new_zeros(())
    number = routing.logits.shape[1]
    counted = routing.experts[:, :1] if kind == "gshard" else routing.experts
    total = routing.logits.new_zeros(())
    for p, chosen in zip(routing.probabilities.chunk(spans), counted.chunk(spans)):
        f = torch.bincount(chosen.flatten(), minlength=number).to(p.dtype) / chosen.numel()
        total = total + number * (f * p.mean(0)).sum()
    return total / spans


def moe(c, router, p, prefix, x, sequences):
    """x [T,D] -> (output [T,D], Routing with its losses, coefficients included)."""
    routing = gate(c.gate, x @ p[f"{prefix}.router"].T, c.top_k, p.get(f"{prefix}.router_bias"))
    spans = 1 if router.balance_scope == "batch" else sequences
    routing.balance = router.balance_loss * balance_loss(c.gate, routing, spans)
    routing.z = router.z_loss * (torch.logsumexp(routing.logits, -1) ** 2).mean()
    capacity = len(x) * c.top_k
    if router.capacity_factor > 0:
        capacity = math.ceil(router.capacity_factor * capacity / c.experts)
    routing.kept = keep_within_capacity(routing.experts, capacity)
    y = torch.zeros_like(x)
    for e in range(c.experts):
        tokens, k = torch.where((routing.experts == e) & routing.kept)
        up, down = p[f"{prefix}.experts.{e}.up"], p[f"{prefix}.experts.{e}.down"]
        out = feed_forward(c.activation, x[tokens], up, down)
        y = y.index_add(0, tokens, out * routing.weights[tokens, k, None])
    y = y * router.routed_scale
    if c.shared_experts:
        y = y + feed_forward(c.activation, x, p[f"{prefix}.shared.up"], p[f"{prefix}.shared.down"])
    return y, routing
