"""`hecate convert` against transformers: usage transformers_test.py HECATE FIXTURES

What hecate exports, transformers loads, with the logits of the fixtures; what transformers saves,
hecate imports and exports with nothing changed. Exits with 77 where transformers is not installed.
"""

import json
from pathlib import Path
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOLERANCE = 1e-5
SIZES = dict(vocab_size=61, hidden_size=16, num_hidden_layers=2, num_attention_heads=4)
SIZES |= dict(max_position_embeddings=16, num_experts_per_tok=2)
MODELS = {
    "mixtral": transformers.MixtralConfig(
        num_key_value_heads=2, num_local_experts=4, intermediate_size=24, **SIZES
    ),
    "mixtral-tied": transformers.MixtralConfig(
        num_key_value_heads=4,
        num_local_experts=4,
        intermediate_size=24,
        tie_word_embeddings=True,
        **SIZES,
    ),
    "olmoe": transformers.OlmoeConfig(
        num_key_value_heads=2, num_experts=6, intermediate_size=12, norm_topk_prob=True, **SIZES
    ),
    "qwen3": transformers.Qwen3MoeConfig(
        num_key_value_heads=2, head_dim=6, num_experts=6, moe_intermediate_size=12, **SIZES
    ),
}


def hecate(*arguments):
    subprocess.run([sys.argv[1], "convert", *map(str, arguments)], check=True)


def load(folder):
    options = {"torch_dtype": torch.float64}
    if int(transformers.__version__.split(".")[0]) >= 5:
        # Its grouped product has no float64.
        options = {"dtype": torch.float64, "experts_implementation": "eager"}
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, **options
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{folder}: {kind}: {report[kind]}"
    return model.eval()


def compare(what, found, expected):
    difference = (found - expected).abs().max().item()
    print(f"{what}: logits differ by {difference:.1e}")
    assert difference < TOLERANCE, what


def exported_fixture(folder, scratch):
    name = folder.name
    hecate("--from-hf", folder, "--out", scratch / name)
    hecate(scratch / name, "--to-hf", scratch / f"{name}-out", "--shard-mb", "0.02")
    expected = load_file(folder / "expected.safetensors")
    with torch.no_grad():
        logits = load(scratch / f"{name}-out")(expected["tokens"].long()).logits
    compare(name, logits, expected["logits"].double())


def saved_by_transformers(name, config, dtype, scratch):
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():  # far from the symmetric start
        parameter.data += 0.1 * torch.randn_like(parameter)
    model = model.to(dtype)
    folder = scratch / f"{name}-{dtype}".replace("torch.", "")
    model.save_pretrained(folder, max_shard_size="20KB")
    hecate("--from-hf", folder, "--out", f"{folder}-run")
    hecate(f"{folder}-run", "--to-hf", f"{folder}-out")
    tokens = torch.randint(SIZES["vocab_size"], (2, 16))
    with torch.no_grad():
        compare(folder.name, load(f"{folder}-out")(tokens).logits, load(folder)(tokens).logits)
    assert json.loads(Path(f"{folder}-out/config.json").read_text())["vocab_size"] == 61


def main():
    torch.set_num_threads(1)
    print("transformers", transformers.__version__)
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        for folder in sorted(Path(sys.argv[2]).glob("hf-*")):
            exported_fixture(folder, scratch)
        for name, config in MODELS.items():
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                saved_by_transformers(name, config, dtype, scratch)


if __name__ == "__main__":
    main()
