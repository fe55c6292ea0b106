"""Compares the reference with Hugging Face's transformers, and writes fixtures/hf-*/.

Tiny random Mixtral, OLMoE and Qwen3-MoE models are written in the layout of the hub (config.json,
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
}

# Names of the sparse block, of an expert's matrices, and of the keys for experts and their width.
NAMES = {
    "mixtral": ("block_sparse_moe", ("w1", "w3", "w2"), "num_local_experts", "intermediate_size"),
    "olmoe": ("mlp", ("gate_proj", "up_proj", "down_proj"), "num_experts", "intermediate_size"),
    "qwen3": ("mlp", ("gate_proj", "up_proj", "down_proj"), "num_experts", "moe_intermediate_size"),
}
ARCHITECTURES = {
    "mixtral": ("MixtralForCausalLM", "mixtral", {}),
    "olmoe": ("OlmoeForCausalLM", "olmoe", {"norm_topk_prob": False, "clip_qkv": None}),
    "qwen3": (
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        {"norm_topk_prob": True, "decoder_sparse_step": 1},
    ),
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
    return config


def hub_weights(kind, c, weights):
    """Our parameters under the hub's names, in the hub's order."""
    block, (gate, up, down), _, _ = NAMES[kind]
    h, g, n = c.heads, c.key_heads, c.head_size
    out = {"model.embed_tokens.weight": weights["embedding.tokens"]}
    for i in range(c.layers):
        layer, ours = f"model.layers.{i}", f"layers.{i}"
        q, k, v = weights[f"{ours}.attention.qkv"].split([h * n, g * n, g * n])
        for name, matrix in (
            ("q", q),
            ("k", k),
            ("v", v),
            ("o", weights[f"{ours}.attention.output"]),
        ):
            out[f"{layer}.self_attn.{name}_proj.weight"] = matrix
        if c.qk_norm != "none":
            for name in ("q_norm", "k_norm"):
                out[f"{layer}.self_attn.{name}.weight"] = weights[f"{ours}.attention.{name}.weight"]
        out[f"{layer}.{block}.gate.weight"] = weights[f"{ours}.ffn.router"]
        for e in range(c.experts):
            expert = f"{layer}.{block}.experts.{e}"
            halves = weights[f"{ours}.ffn.experts.{e}.up"].chunk(2)
            out[f"{expert}.{gate}.weight"], out[f"{expert}.{up}.weight"] = halves
            out[f"{expert}.{down}.weight"] = weights[f"{ours}.ffn.experts.{e}.down"]
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
            folder = Path(scratch) if kind == "qwen3" else FIXTURES / f"hf-{kind}-tiny"
            difference, tokens, logits = check(kind, c, folder)
        print(
            f"{kind:8} transformers {transformers.__version__}: logits differ by {difference:.1e}"
        )
        assert difference < TOLERANCE
        if kind != "qwen3":
            tensors = {"tokens": tokens.int(), "logits": logits.float()}
            save_file(tensors, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
