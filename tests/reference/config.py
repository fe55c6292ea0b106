"""Configuration of the reference model: keys, defaults and parameter names of models/config.h."""

from dataclasses import dataclass


@dataclass
class Router:
    balance_loss: float = 0.01
    balance_scope: str = "sequence"
    z_loss: float = 0.0
    capacity_factor: float = 0.0
    bias_rate: float = 0.001
    routed_scale: float = 1.0


@dataclass
class Model:
    objective: str = "causal"
    vocabulary: int = 0
    sequence: int = 256
    layers: int = 4
    d_model: int = 256
    heads: int = 4
    kv_heads: int = 0
    head_dim: int = 0
    norm: str = "rms"
    norm_eps: float = 1e-5
    positions: str = "rope"
    rope_theta: float = 10000.0
    attention: str = "heads"
    qk_norm: str = "none"
    kv_lora_rank: int = 512
    nope_dim: int = 128
    rope_dim: int = 64
    v_dim: int = 128
    activation: str = "swiglu"
    dense_hidden: int = 0
    moe_layers: str = "all"
    experts: int = 8
    top_k: int = 2
    expert_hidden: int = 512
    shared_experts: int = 0
    gate: str = "softmax_renormalized"
    tied_head: bool = True

    @property
    def key_heads(self):
        return self.kv_heads or self.heads

    @property
    def head_size(self):
        return self.head_dim or self.d_model // self.heads

    @property
    def dense_width(self):
        return self.dense_hidden or self.top_k * self.expert_hidden

    def is_moe(self, layer):
        rule, _, number = self.moe_layers.partition(":")
        if rule == "every":
            return (layer + 1) % int(number) == 0
        if rule == "from":
            return layer >= int(number)
        return rule == "all"


def parameter_shapes(c):
    """Name -> shape of every parameter of a Model."""
    shapes = {"embedding.tokens": (c.vocabulary, c.d_model)}
    if c.positions == "learned":
        shapes["embedding.positions"] = (c.sequence, c.d_model)

    def norm(name):
        shapes[f"{name}.weight"] = (c.d_model,)
        if c.norm == "layer":
            shapes[f"{name}.bias"] = (c.d_model,)

    def feed_forward(name, width):
        shapes[f"{name}.up"] = ((2 if c.activation == "swiglu" else 1) * width, c.d_model)
        shapes[f"{name}.down"] = (c.d_model, width)

    for i in range(c.layers):
        a, f = f"layers.{i}.attention", f"layers.{i}.ffn"
        norm(f"{a}.norm")
        if c.attention == "latent":
            shapes[f"{a}.q"] = (c.heads * (c.nope_dim + c.rope_dim), c.d_model)
            shapes[f"{a}.kv_down"] = (c.kv_lora_rank + c.rope_dim, c.d_model)
            shapes[f"{a}.kv_norm.weight"] = (c.kv_lora_rank,)
            shapes[f"{a}.kv_up"] = (c.heads * (c.nope_dim + c.v_dim), c.kv_lora_rank)
            shapes[f"{a}.output"] = (c.d_model, c.heads * c.v_dim)
        else:
            h, g, n = c.heads, c.key_heads, c.head_size
            shapes[f"{a}.qkv"] = ((h + 2 * g) * n, c.d_model)
            if c.qk_norm != "none":
                shapes[f"{a}.q_norm.weight"] = (n if c.qk_norm == "head" else h * n,)
                shapes[f"{a}.k_norm.weight"] = (n if c.qk_norm == "head" else g * n,)
            shapes[f"{a}.output"] = (c.d_model, h * n)
        norm(f"{f}.norm")
        if not c.is_moe(i):
            feed_forward(f, c.dense_width)
            continue
        shapes[f"{f}.router"] = (c.experts, c.d_model)
        if c.gate == "sigmoid_bias":
            shapes[f"{f}.router_bias"] = (c.experts,)
        for e in range(c.experts):
            feed_forward(f"{f}.experts.{e}", c.expert_hidden)
        if c.shared_experts:
            feed_forward(f"{f}.shared", c.shared_experts * c.expert_hidden)
    norm("final_norm")
    if not c.tied_head:
        shapes["head"] = (c.vocabulary, c.d_model)
    return shapes
