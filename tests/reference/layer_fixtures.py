"""Inputs, outputs and gradients of single layers, for fixtures/layers.safetensors.

Key names: <layer>.<tensor>; `dx` is the gradient by `x` of sum(y * dy) for the stored random `dy`.
"""

import torch

import layers
from config import Model, Router, parameter_shapes
from model import Optimizer, latent_attention

EPS = 1e-5


class Recorder:
    """Collects tensors and descriptions; random inputs are exact in float32."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors, self.description = {}, {}

    def random(self, *shape, scale=1.0, offset=0.0):
        noise = torch.randn(shape, generator=self.generator, dtype=torch.float32)
        return (offset + scale * noise).double().requires_grad_()

    def add(self, layer, inputs, y, extra_loss=0.0, result="y", **description):
        """Stores inputs, y, dy, and the gradients by inputs of sum(y * dy) + extra_loss."""
        dy = self.random(*y.shape).detach()
        names = list(inputs)
        found = torch.autograd.grad((y * dy).sum() + extra_loss, [inputs[n] for n in names])
        self.put(layer, **inputs, **{result: y, f"d{result}": dy})
        self.put(layer, **{f"d{n}": g for n, g in zip(names, found)})
        self.description[layer] = description

    def put(self, layer, **tensors):
        self.tensors.update({f"{layer}.{name}": tensor for name, tensor in tensors.items()})


def norms_and_activations(r):
    x, weight, bias = r.random(7, 19), r.random(19, scale=0.2, offset=1), r.random(19, scale=0.2)
    r.add("rms_norm", dict(x=x, weight=weight), layers.rms_norm(x, weight, EPS), eps=EPS)
    y = layers.layer_norm(x, weight, bias, EPS)
    r.add("layer_norm", dict(x=x, weight=weight, bias=bias), y, eps=EPS)
    grouped, weight = r.random(5, 3, 8), r.random(8, scale=0.2, offset=1)
    r.add(
        "rms_norm_heads",
        dict(x=grouped, weight=weight),
        layers.rms_norm(grouped, weight, EPS),
        eps=EPS,
    )
    for kind in ("gelu", "gelu_tanh", "squared_relu", "swiglu"):
        x = r.random(6, 20, scale=2)
        r.add(kind, dict(x=x), layers.activate(kind, x), note="swiglu: x is [gate | up]")


def positions_and_attention(r):
    x = r.random(2, 9, 3, 8)
    r.add("rope", dict(x=x), layers.rope(x, 10000.0), theta=10000.0, shape="[S,T,heads,N]")
    documents = torch.tensor(
        [[0, 0, 0, 3, 3, 3, 3, 7, 7, 7, 7], [11, 12, 12, 12, 12, 12, 17, 17, 17, 17, 17]]
    )
    for name, causal, begin in (
        ("attention", True, None),
        ("attention_bidirectional", False, None),
        ("attention_documents", True, documents),
        ("attention_bidirectional_documents", False, documents),
    ):
        q, k, v = r.random(2, 11, 4, 6), r.random(2, 11, 2, 6), r.random(2, 11, 2, 5)
        y = layers.attend(q, k, v, 6**-0.5, causal, begin)
        r.add(
            name,
            dict(q=q, k=k, v=v),
            y,
            result="out",
            causal=causal,
            scale=6**-0.5,
            shape="[S,T,heads,N]",
        )
        if begin is not None:
            r.put(name, document_begin=begin)


def latent(r):
    model = dict(attention="latent", vocabulary=1, layers=1, d_model=16, heads=2, moe_layers="none")
    model |= dict(kv_lora_rank=10, nope_dim=6, rope_dim=4, v_dim=5, dense_hidden=1)
    c, prefix = Model(**model), "layers.0.attention."
    inputs = {"x": r.random(2, 9, 16)}
    for name, shape in parameter_shapes(c).items():
        if name.startswith(prefix) and name != prefix + "norm.weight":
            norm = name.endswith("norm.weight")
            scale = 0.2 if norm else shape[-1] ** -0.5
            inputs[name.removeprefix(prefix)] = r.random(*shape, scale=scale, offset=float(norm))
    p = {prefix + name: tensor for name, tensor in inputs.items()}
    y = latent_attention(c, p, prefix[:-1], inputs["x"], None)
    r.add("latent_attention", inputs, y, model=model, shape="x, y: [S,T,D]")


GATES = (
    ("softmax", 3),
    ("softmax_renormalized", 3),
    ("gshard", 2),
    ("switch", 1),
    ("sigmoid_bias", 3),
)


def gates(r):
    """dlogits is the gradient of sum(weights * dweights); dlogits_all that of the same +
    sum_t probabilities[t] . dprobabilities + z_scale * sum_t logsumexp(logits[t])^2."""
    z_scale = 0.01
    for kind, top_k in GATES:
        bias, gap = r.random(6, scale=0.2).detach(), 0.0
        while gap < 1e-3:
            logits = r.random(9, 6, scale=1.5)
            routing = layers.gate(kind, logits, top_k, bias)
            key = routing.probabilities + (bias if kind == "sigmoid_bias" else 0)
            gap = -key.sort(-1, descending=True).values.diff(dim=1)[:, :top_k].max().item()
        name = f"gate.{kind}"
        dweights, dprobabilities = r.random(9, top_k).detach(), r.random(6).detach()
        first = (routing.weights * dweights).sum()
        second = (routing.probabilities * dprobabilities).sum()
        z = z_scale * (torch.logsumexp(logits, -1) ** 2).sum()
        (dlogits,) = torch.autograd.grad(first, logits, retain_graph=True)
        (dlogits_all,) = torch.autograd.grad(first + second + z, logits)
        r.put(name, logits=logits, probabilities=routing.probabilities, experts=routing.experts)
        r.put(name, weights=routing.weights, dweights=dweights, dprobabilities=dprobabilities)
        r.put(name, dlogits=dlogits, dlogits_all=dlogits_all)
        if kind == "sigmoid_bias":
            r.put(name, bias=bias)
        r.description[name] = dict(gate=kind, top_k=top_k, z_scale=z_scale)


def moe(r):
    """Gradients include the balance and z losses."""
    router = dict(balance_loss=0.1, z_loss=0.01, capacity_factor=0.9)
    model = dict(vocabulary=1, layers=1, d_model=12, experts=4, expert_hidden=10, shared_experts=1)
    c, prefix = Model(**model), "layers.0.ffn."
    inputs = {"x": r.random(2 * 9, 12)}
    for name, shape in parameter_shapes(c).items():
        if name.startswith(prefix) and name != prefix + "norm.weight":
            inputs[name.removeprefix(prefix)] = r.random(*shape, scale=shape[-1] ** -0.5)
    p = {prefix + name: tensor for name, tensor in inputs.items()}
    y, routing = layers.moe(c, Router(**router), p, prefix[:-1], inputs["x"], 2)
    assert routing.margin > 1e-3 and not routing.kept.all(), routing.margin
    r.add("moe", inputs, y, routing.balance + routing.z, model=model, router=router, sequences=2)
    r.put("moe", experts=routing.experts, kept=routing.kept.long())
    r.put("moe", balance_loss=routing.balance[None], z_loss=routing.z[None])


def adamw(r):
    """parameters[i] is the state after gradients[i]; gradients are used without clipping."""
    options = Optimizer(weight_decay=0.1)
    start = r.random(23)
    gradients = r.random(5, 23, scale=0.3).detach()
    w = start.detach().clone().requires_grad_()
    betas = (options.beta1, options.beta2)
    optimizer = torch.optim.AdamW(
        [w], options.rate, betas, options.eps, options.weight_decay, foreach=False
    )
    after = []
    for gradient in gradients:
        w.grad = gradient
        optimizer.step()
        after.append(w.detach().clone())
    state = optimizer.state[w]
    r.put("adamw", start=start, gradients=gradients, parameters=torch.stack(after))
    r.put("adamw", first_moment=state["exp_avg"], second_moment=state["exp_avg_sq"])
    r.description["adamw"] = dict(
        rate=options.rate, beta1=betas[0], beta2=betas[1], eps=options.eps, weight_decay=0.1
    )


def head_loss(r):
    """dx and dw are gradients of gradient_scale * loss_sum."""
    x, w, scale = r.random(11, 8), r.random(29, 8), 0.125
    targets = torch.randint(29, (11,), generator=r.generator)
    targets[[2, 7]] = -1
    logs = (x @ w.T).log_softmax(-1).gather(1, targets.clamp_min(0)[:, None])[:, 0]
    losses = torch.where(targets >= 0, -logs, torch.zeros_like(logs))
    dx, dw = torch.autograd.grad(scale * losses.sum(), [x, w])
    r.put("head_loss", x=x, w=w, targets=targets, token_loss=losses, loss_sum=losses.sum()[None])
    r.put("head_loss", dx=dx, dw=dw)
    r.description["head_loss"] = dict(gradient_scale=scale, tokens=9)


def layer_fixtures():
    """(tensors, description per layer)"""
    r = Recorder(seed=1)
    for build in (
        norms_and_activations,
        positions_and_attention,
        latent,
        gates,
        moe,
        adamw,
        head_loss,
    ):
        build(r)
    return r.tensors, r.description
