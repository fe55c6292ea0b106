"""Compares the reference with Hugging Face's transformers, and writes fixtures/hf-*/.

Tiny random Mixtral, OLMoE, Qwen3-MoE and DeepSeek-V2 models are written in the layout of the hub (config.json,
two safetensors shards, an index), loaded by transformers from there, and run beside the reference.
"""

import json
from pathlib import Path
import tempfile

from safetensors.torch import save_file
import torch
import transformers

from config import Model, Router
from model import forward
from variants import random_weights

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 1e-5
KEPT = ("mixtral", "olmoe", "qwen3")  # as fixtures
COMMON = dict(layers=2, tied_head=False, vocabulary=53, sequence=12)

MODELS = {
    "mixtral": Model(
        d_model=16, heads=4, kv_heads=2, experts=4, expert_hidden=12, rope_theta=1e6, **COMMON
    ),
    "olmoe": Model(
        d_model=16,
        heads=2,
        experts=6,
        top_k=3,
        expert_hidden=10,
        qk_norm="full",
        gate="softmax",
        **COMMON,
    ),
    "qwen3": Model(
        d_model=16,
        heads=4,
        kv_heads=2,
        head_dim=6,
        experts=8,
        top_k=4,
        expert_hidden=10,
        qk_norm="head",
        norm_eps=1e-6,
        rope_theta=1e6,
        **COMMON,
    ),
    "deepseek": Model(
        d_model=16,
        heads=2,
        attention="latent",
        kv_lora_rank=10,
        nope_dim=6,
        rope_dim=4,
        v_dim=5,
        experts=6,
        top_k=2,
        expert_hidden=10,
        dense_hidden=14,
        moe_layers="from:1",
        shared_experts=2,
        gate="softmax",
        norm_eps=1e-6,
        **COMMON,
    ),
}

# Names of the sparse block, of an expert's matrices, and of the keys for experts and their width.
NAMES = {
    "mixtral": ("block_sparse_moe", ("w1", "w3", "w2"), "num_local_experts", "intermediate_size"),
    "olmoe": ("mlp", ("gate_proj", "up_proj", "down_proj"), "num_experts", "intermediate_size"),
    "qwen3": ("mlp", ("gate_proj", "up_proj", "down_proj"), "num_experts", "moe_intermediate_size"),
    "deepseek": (
        "mlp",
        ("gate_proj", "up_proj", "down_proj"),
        "n_routed_experts",
        "moe_intermediate_size",
    ),
}
ARCHITECTURES = {
    "mixtral": ("MixtralForCausalLM", "mixtral", {}),
    "olmoe": ("OlmoeForCausalLM", "olmoe", {"norm_topk_prob": False, "clip_qkv": None}),
    "qwen3": (
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        {"norm_topk_prob": True, "decoder_sparse_step": 1},
    ),
    "deepseek": ("DeepseekV2ForCausalLM", "deepseek_v2", {"q_lora_rank": None}),
}


def hub_config(kind, c):
    """config.json as published models have it."""
    architecture, model_type, extra = ARCHITECTURES[kind]
    _, _, experts, width = NAMES[kind]
    config = {
        "architectures": [architecture],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": c.d_model,
        "max_position_embeddings": c.sequence,
        "model_type": model_type,
        "num_attention_heads": c.heads,
        "num_experts_per_tok": c.top_k,
        "num_hidden_layers": c.layers,
        "num_key_value_heads": c.key_heads,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vocab_size": c.vocabulary,
        experts: c.experts,
        width: c.expert_hidden,
        **extra,
    }
    if kind == "qwen3":
        config["head_dim"] = c.head_dim
    if kind == "deepseek":
        config |= dict(kv_lora_rank=c.kv_lora_rank, v_head_dim=c.v_dim)
        config |= dict(qk_nope_head_dim=c.nope_dim, qk_rope_head_dim=c.rope_dim)
        config |= dict(n_shared_experts=c.shared_experts, intermediate_size=c.dense_hidden)
        config |= dict(first_k_dense_replace=1, routed_scaling_factor=1.0, topk_method="greedy")
    return config


def head_attention(c, weights, ours, theirs):
    h, g, n = c.heads, c.key_heads, c.head_size
    q, k, v = weights[f"{ours}.qkv"].split([h * n, g * n, g * n])
    out = {}
    for name, matrix in (("q", q), ("k", k), ("v", v), ("o", weights[f"{ours}.output"])):
        out[f"{theirs}.{name}_proj.weight"] = matrix
    if c.qk_norm != "none":
        for name in ("q_norm", "k_norm"):
            out[f"{theirs}.{name}.weight"] = weights[f"{ours}.{name}.weight"]
    return out


def latent_attention(c, weights, ours, theirs):
    """DeepSeek pairs neighbours in its rotary positions, we pair halves."""
    pairs = torch.arange(c.rope_dim).view(2, -1).T.flatten()
    q = weights[f"{ours}.q"].view(c.heads, c.nope_dim + c.rope_dim, c.d_model)
    q = torch.cat([q[:, : c.nope_dim], q[:, c.nope_dim :][:, pairs]], 1).reshape(-1, c.d_model)
    latent, k_rope = weights[f"{ours}.kv_down"].split([c.kv_lora_rank, c.rope_dim])
    return {
        f"{theirs}.q_proj.weight": q,
        f"{theirs}.kv_a_proj_with_mqa.weight": torch.cat([latent, k_rope[pairs]]),
        f"{theirs}.kv_a_layernorm.weight": weights[f"{ours}.kv_norm.weight"],
        f"{theirs}.kv_b_proj.weight": weights[f"{ours}.kv_up"],
        f"{theirs}.o_proj.weight": weights[f"{ours}.output"],
    }


def feed_forwards(kind, c, weights, ours, theirs):
    """Of one layer: router, experts and shared experts, or the dense one."""
    block, (gate, up, down), _, _ = NAMES[kind]
    theirs, out = f"{theirs}.{block}", {}
    pairs = [(ours, theirs)]
    if f"{ours}.router" in weights:
        out[f"{theirs}.gate.weight"] = weights[f"{ours}.router"]
        pairs = [(f"{ours}.experts.{e}", f"{theirs}.experts.{e}") for e in range(c.experts)]
        if c.shared_experts:
            pairs.append((f"{ours}.shared", f"{theirs}.shared_experts"))
    for mine, hub in pairs:
        out[f"{hub}.{gate}.weight"], out[f"{hub}.{up}.weight"] = weights[f"{mine}.up"].chunk(2)
        out[f"{hub}.{down}.weight"] = weights[f"{mine}.down"]
    return out


def hub_weights(kind, c, weights):
    """Our parameters under the hub's names, in the hub's order."""
    attention = latent_attention if c.attention == "latent" else head_attention
    out = {"model.embed_tokens.weight": weights["embedding.tokens"]}
    for i in range(c.layers):
        layer, ours = f"model.layers.{i}", f"layers.{i}"
        out |= attention(c, weights, f"{ours}.attention", f"{layer}.self_attn")
        out |= feed_forwards(kind, c, weights, f"{ours}.ffn", layer)
        out[f"{layer}.input_layernorm.weight"] = weights[f"{ours}.attention.norm.weight"]
        out[f"{layer}.post_attention_layernorm.weight"] = weights[f"{ours}.ffn.norm.weight"]
    out["model.norm.weight"] = weights["final_norm.weight"]
    out["lm_head.weight"] = weights["head"]
    return {name: tensor.float().contiguous() for name, tensor in out.items()}


def write_hub_folder(folder, config, weights):
    """Two shards of about the same size, in the order of the names given."""
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(w.numel() * 4 for w in weights.values())
    shards, used = [{}, {}], 0
    for name, weight in weights.items():
        shards[0 if 2 * used < total else 1][name] = weight
        used += weight.numel() * 4
    index = {"metadata": {"total_size": total}, "weight_map": {}}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file(shard, folder / file, {"format": "pt"})
        index["weight_map"] |= {name: file for name in shard}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(index, indent=2, sort_keys=True) + "\n"
    )
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def check(kind, c, folder):
    """Writes the folder, and returns the largest difference of logits and what was compared."""
    seed = 0
    while True:
        weights = random_weights(c, seed)
        tokens = torch.randint(
            c.vocabulary, (2, c.sequence), generator=torch.Generator().manual_seed(seed)
        )
        result = forward(c, Router(), weights, tokens)
        if result.margin() > 1e-3:
            break
        seed += 1
    write_hub_folder(folder, hub_config(kind, c), hub_weights(kind, c, weights))
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, experts_implementation="eager", output_loading_info=True
    )
    assert not any(
        report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    ), report
    with torch.no_grad():
        logits = theirs.eval()(tokens).logits
    return (logits - result.logits).abs().max().item(), tokens, result.logits


def main():
    torch.set_num_threads(1)
    for kind, c in MODELS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = FIXTURES / f"hf-{kind}-tiny" if kind in KEPT else Path(scratch)
            difference, tokens, logits = check(kind, c, folder)
        print(
            f"{kind:8} transformers {transformers.__version__}: logits differ by {difference:.1e}"
        )
        assert difference < TOLERANCE
        if kind in KEPT:
            tensors = {"tokens": tokens.int(), "logits": logits.float()}
            save_file(tensors, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
