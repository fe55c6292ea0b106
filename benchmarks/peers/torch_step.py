"""The PyTorch peer of `hecate bench step`: tokens/s of whole training steps on the CPU.

The model of preset bench-step: gpt-moe, 6 layers, D 512, F 1024, 8 experts, GShard top-2, 8 heads,
4 sequences of 512 tokens a step, vocabulary 8192, float32. A step is forward, backward, clipping and
AdamW; tokens are random, the routing is the model's own. Prints one JSON line per combination of
the options that take several values.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS, D, HIDDEN, EXPERTS, TOP_K, HEADS = 6, 512, 1024, 8, 2, 8
SEQUENCES, LENGTH, VOCABULARY = 4, 512, 8192
TOKENS = SEQUENCES * LENGTH
BALANCE = 0.01


class Dispatch(torch.autograd.Function):
    """Rows sorted by expert. Backward gathers as well, which is faster than an index_add."""

    @staticmethod
    def forward(ctx, x, order, inverse):
        ctx.save_for_backward(inverse)
        return x.index_select(0, order // TOP_K)

    @staticmethod
    def backward(ctx, drows):
        (inverse,) = ctx.saved_tensors
        return drows.index_select(0, inverse).view(-1, TOP_K, drows.shape[1]).sum(1), None, None


class Collect(torch.autograd.Function):
    """Rows back in the order of the choices."""

    @staticmethod
    def forward(ctx, rows, order, inverse):
        ctx.save_for_backward(order)
        return rows.index_select(0, inverse)

    @staticmethod
    def backward(ctx, dchoices):
        (order,) = ctx.saved_tensors
        return dchoices.index_select(0, order), None, None


class Moe(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.router = nn.Parameter(0.02 * torch.randn(EXPERTS, D))
        self.grouped = experts == "grouped"
        if self.grouped:
            self.up = nn.Parameter(0.02 * torch.randn(EXPERTS, HIDDEN, D))
            self.down = nn.Parameter(0.02 / math.sqrt(2 * LAYERS) * torch.randn(EXPERTS, D, HIDDEN))
        else:
            down = 0.02 / math.sqrt(2 * LAYERS)
            self.ups = nn.ParameterList(0.02 * torch.randn(HIDDEN, D) for _ in range(EXPERTS))
            self.downs = nn.ParameterList(down * torch.randn(D, HIDDEN) for _ in range(EXPERTS))

    def run_experts(self, rows, counts):
        if self.grouped:
            ends = counts.cumsum(0).to(torch.int32)
            hidden = F.grouped_mm(rows, self.up.transpose(1, 2), offs=ends)
            hidden = F.gelu(hidden, approximate="tanh")
            return F.grouped_mm(hidden, self.down.transpose(1, 2), offs=ends)
        parts = rows.split(counts.tolist())
        out = [
            F.linear(F.gelu(F.linear(part, up), approximate="tanh"), down)
            for part, up, down in zip(parts, self.ups, self.downs)
        ]
        return torch.cat(out)

    def forward(self, x):
        """x [T,D] -> output [T,D], balance loss."""
        probabilities = F.linear(x, self.router).softmax(-1)
        weights, chosen = probabilities.topk(TOP_K)
        weights = weights / weights.sum(-1, keepdim=True)
        first = F.one_hot(chosen[:, 0], EXPERTS).to(x.dtype).view(SEQUENCES, LENGTH, EXPERTS)
        shares = probabilities.view(SEQUENCES, LENGTH, EXPERTS).mean(1)
        balance = EXPERTS * (first.mean(1) * shares).sum(-1).mean()
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        counts = torch.zeros(EXPERTS, dtype=torch.long).scatter_add_(0, flat, torch.ones_like(flat))
        rows = self.run_experts(Dispatch.apply(x, order, inverse), counts)
        choices = Collect.apply(rows, order, inverse).view(-1, TOP_K, D)
        return (choices * weights[..., None]).sum(1), balance


class Layer(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv = nn.Parameter(0.02 * torch.randn(3 * D, D))
        self.output = nn.Parameter(0.02 / math.sqrt(2 * LAYERS) * torch.randn(D, D))
        self.moe = Moe(experts)

    def attention(self, x):
        qkv = F.linear(self.attention_norm(x), self.qkv)
        q, k, v = qkv.view(SEQUENCES, LENGTH, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + F.linear(out.transpose(1, 2).reshape(TOKENS, D), self.output)

    def forward(self, x):
        x = self.attention(x)
        y, balance = self.moe(self.ffn_norm(x))
        return x + y, balance


class Gpt(nn.Module):
    def __init__(self, experts):
        super().__init__()
        self.tokens = nn.Parameter(0.02 * torch.randn(VOCABULARY, D))
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, D))
        self.layers = nn.ModuleList(Layer(experts) for _ in range(LAYERS))
        self.final_norm = nn.LayerNorm(D)

    def forward(self, tokens, targets):
        """tokens, targets [sequences, length] -> loss."""
        x = (F.embedding(tokens, self.tokens) + self.positions).view(TOKENS, D)
        balance = 0.0
        for layer in self.layers:
            x, part = layer(x)
            balance = balance + part
        logits = F.linear(self.final_norm(x), self.tokens)
        return F.cross_entropy(logits, targets.flatten()) + BALANCE * balance


def flops_per_step():
    """Products only, forward and backward, with the causal half of attention."""
    attention = 4 * D * D + 2 * D * (LENGTH + 1) / 2
    layer = attention + EXPERTS * D + TOP_K * 2 * D * HIDDEN
    return 6 * TOKENS * (LAYERS * layer + VOCABULARY * D)


def make_optimizer(model, kind):
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    choice = {kind: True} if kind != "loop" else {"foreach": False}
    return torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), eps=1e-8, **choice)


def compile_parts(model, mode):
    """full: one graph where routing allows it; parts: all but the experts, whose shapes vary."""
    if mode == "full":
        return torch.compile(model)
    if mode == "parts":
        for layer in model.layers:
            layer.attention = torch.compile(layer.attention)
    return model


def measure(arguments, experts, mode, optimizer_kind):
    torch.manual_seed(0)
    model = Gpt(experts)
    parameters = list(model.parameters())
    optimizer = make_optimizer(model, optimizer_kind)
    run = compile_parts(model, mode)
    seconds, losses = [], []
    for step in range(arguments.warmup + arguments.repeats):
        tokens, targets = torch.randint(VOCABULARY, (2, SEQUENCES, LENGTH))
        start = time.perf_counter()
        loss = run(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    speeds = sorted(TOKENS / s for s in seconds[arguments.warmup :])
    median = statistics.median(speeds)
    return {
        "bench": "torch_step",
        "tokens_per_s": {"median": median, "min": speeds[0], "max": speeds[-1]},
        "gflops": flops_per_step() * median / TOKENS / 1e9,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "experts": experts,
        "compile": mode,
        "optimizer": optimizer_kind,
        "malloc": arguments.malloc,
        "threads": torch.get_num_threads(),
        "repeats": arguments.repeats,
    }


def hardware():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


# glibc returns large blocks to the kernel when they are freed, and each step faults them in again.
MALLOC = {
    "default": {},
    "keep": {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"},
    "keep-huge": {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "8589934592",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--experts", nargs="+", choices=["loop", "grouped"], default=["loop"])
    parser.add_argument("--compile", nargs="+", choices=["off", "parts", "full"], default=["off"])
    parser.add_argument(
        "--optimizer", nargs="+", choices=["fused", "foreach", "loop"], default=["fused"]
    )
    parser.add_argument("--malloc", choices=list(MALLOC), default="keep-huge")
    arguments = parser.parse_args()
    settings = MALLOC[arguments.malloc]
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **settings})
    torch.set_num_threads(arguments.threads)
    for combination in itertools.product(arguments.experts, arguments.compile, arguments.optimizer):
        print(json.dumps(measure(arguments, *combination) | hardware()), flush=True)


if __name__ == "__main__":
    main()
