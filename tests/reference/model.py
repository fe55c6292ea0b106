"""Reference transformer: the family of models/config.h in plain PyTorch with autograd.

Written for reading and for float64, not for speed: every expert is a loop, attention builds its
whole score matrix. Parameters are a dict from the names in models/config.h to tensors.
"""

from dataclasses import dataclass, field
import math

import torch
import torch.nn.functional as F

from layers import attend, feed_forward, layer_norm, moe, rms_norm, rope


def normalize(c, p, name, x):
    weight = p[f"{name}.weight"]
    if c.norm == "layer":
        return layer_norm(x, weight, p[f"{name}.bias"], c.norm_eps)
    return rms_norm(x, weight, c.norm_eps)


def attention(c, p, prefix, x, document_begin):
    s, t, _ = x.shape
    h, g, n = c.heads, c.key_heads, c.head_size
    q, k, v = (x @ p[f"{prefix}.qkv"].T).split([h * n, g * n, g * n], -1)
    if c.qk_norm == "full":
        q = rms_norm(q, p[f"{prefix}.q_norm.weight"], c.norm_eps)
        k = rms_norm(k, p[f"{prefix}.k_norm.weight"], c.norm_eps)
    q, k, v = q.view(s, t, h, n), k.view(s, t, g, n), v.view(s, t, g, n)
    if c.qk_norm == "head":
        q = rms_norm(q, p[f"{prefix}.q_norm.weight"], c.norm_eps)
        k = rms_norm(k, p[f"{prefix}.k_norm.weight"], c.norm_eps)
    if c.positions == "rope":
        q, k = rope(q, c.rope_theta), rope(k, c.rope_theta)
    out = attend(q, k, v, 1 / math.sqrt(n), c.objective == "causal", document_begin)
    return out.reshape(s, t, h * n) @ p[f"{prefix}.output"].T


def latent_attention(c, p, prefix, x, document_begin):
    """DeepSeek-V2 (arXiv:2405.04434, section 2.1) without compressed queries."""
    s, t, _ = x.shape
    q = (x @ p[f"{prefix}.q"].T).view(s, t, c.heads, c.nope_dim + c.rope_dim)
    q_nope, q_rope = q.split([c.nope_dim, c.rope_dim], -1)
    latent, k_rope = (x @ p[f"{prefix}.kv_down"].T).split([c.kv_lora_rank, c.rope_dim], -1)
    latent = rms_norm(latent, p[f"{prefix}.kv_norm.weight"], c.norm_eps)
    up = (latent @ p[f"{prefix}.kv_up"].T).view(s, t, c.heads, c.nope_dim + c.v_dim)
    k_nope, v = up.split([c.nope_dim, c.v_dim], -1)
    k_rope = rope(k_rope[:, :, None, :], c.rope_theta).expand(-1, -1, c.heads, -1)
    q = torch.cat([q_nope, rope(q_rope, c.rope_theta)], -1)
    k = torch.cat([k_nope, k_rope], -1)
    scale = 1 / math.sqrt(c.nope_dim + c.rope_dim)
    out = attend(q, k, v, scale, c.objective == "causal", document_begin)
    return out.reshape(s, t, c.heads * c.v_dim) @ p[f"{prefix}.output"].T


@dataclass
class Result:
    logits: torch.Tensor  # [S,T,V]
    routing: dict = field(default_factory=dict)  # layer -> Routing
    cross_entropy: torch.Tensor = None
    loss: torch.Tensor = None

    def margin(self):
        return min((r.margin for r in self.routing.values()), default=math.inf)


def forward(c, router, p, tokens, document_begin=None, targets=None):
    """tokens, document_begin and targets are [S,T]; a negative target has no loss."""
    s, t = tokens.shape
    x = F.embedding(tokens, p["embedding.tokens"])
    if c.positions == "learned":
        x = x + p["embedding.positions"][:t]
    result = Result(None)
    attend_layer = latent_attention if c.attention == "latent" else attention
    for i in range(c.layers):
        a, f = f"layers.{i}.attention", f"layers.{i}.ffn"
        x = x + attend_layer(c, p, a, normalize(c, p, f"{a}.norm", x), document_begin)
        y = normalize(c, p, f"{f}.norm", x)
        if c.is_moe(i):
            out, result.routing[i] = moe(c, router, p, f, y.reshape(s * t, -1), s)
            x = x + out.view(s, t, -1)
        else:
            x = x + feed_forward(c.activation, y, p[f"{f}.up"], p[f"{f}.down"])
    x = normalize(c, p, "final_norm", x)
    result.logits = x @ p["embedding.tokens" if c.tied_head else "head"].T
    if targets is not None:
        valid = targets >= 0
        picked = result.logits[valid].log_softmax(-1).gather(1, targets[valid][:, None])
        result.cross_entropy = -picked.sum() / valid.sum()
        result.loss = result.cross_entropy + sum(r.balance + r.z for r in result.routing.values())
    return result


# Training.


@dataclass
class Optimizer:
    rate: float = 1e-2
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0


def train_curve(c, router, options, weights, batches, steps):
    """Per step (total loss, cross-entropy, gradient norm before clipping, routing margin); step i
    trains on batches[i % len(batches)], each a (tokens, targets, document_begin or None).
    Returns the rows and the trained parameters."""
    p = {
        name: w.clone().requires_grad_(not name.endswith("router_bias"))
        for name, w in weights.items()
    }
    trained = [w for w in p.values() if w.requires_grad]
    groups = [
        {"params": [w for w in trained if w.dim() == 2], "weight_decay": options.weight_decay},
        {"params": [w for w in trained if w.dim() != 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        groups,
        lr=options.rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        foreach=False,
    )
    rows = []
    for step in range(steps):
        tokens, targets, document_begin = batches[step % len(batches)]
        result = forward(c, router, p, tokens, document_begin, targets)
        result.loss.backward()
        # An expert that received no token has a gradient of zeros: moments and decay go on.
        for w in trained:
            w.grad = torch.zeros_like(w) if w.grad is None else w.grad
        norm = math.sqrt(sum((w.grad**2).sum().item() for w in trained))
        for w in trained:
            w.grad *= min(1.0, options.clip / norm)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        for i, routing in result.routing.items():
            if c.gate == "sigmoid_bias":
                counts = routing.counts().double()
                p[f"layers.{i}.ffn.router_bias"] += router.bias_rate * torch.sign(
                    counts.mean() - counts
                )
        rows.append((result.loss.item(), result.cross_entropy.item(), norm, result.margin()))
    return rows, {name: w.detach() for name, w in p.items()}
