#!/usr/bin/env python3
"""PyTorch peer of `hecate bench step`: the same model, batch and update, as fast as plain PyTorch
runs it on the CPU. Prints one JSON line per way of running the experts.

gpt-moe: 6 layers, D 512, F 1024 (GELU, tanh form), 8 experts, top-2, 8 heads, sequence 512,
vocabulary 8192, 2048 tokens a step, f32; tokens sorted by expert, fused attention, AdamW.
"""
import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F

L, D, HID, E, K, H, S, V, B = 6, 512, 1024, 8, 2, 8, 512, 8192, 4


class Moe(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.router = torch.nn.Parameter(torch.randn(E, D) * 0.02)
        self.up = torch.nn.Parameter(torch.randn(E, HID, D) * 0.02)
        self.down = torch.nn.Parameter(torch.randn(E, D, HID) * 0.02)

    def forward(self, x):
        p = F.softmax(x @ self.router.t(), dim=-1)
        w, e = p.topk(K, dim=-1)
        w = w / w.sum(-1, keepdim=True)
        flat = e.reshape(-1)
        order = torch.argsort(flat, stable=True)
        counts = torch.bincount(flat, minlength=E)
        token = order // K
        rows = x[token]
        parts = []
        for index, part in enumerate(rows.split(counts.tolist())):
            hidden = F.gelu(part @ self.up[index].t(), approximate="tanh")
            parts.append(hidden @ self.down[index].t())
        out = torch.cat(parts) * w.reshape(-1)[order].unsqueeze(1)
        y = torch.zeros_like(x).index_add_(0, token, out)
        share = F.one_hot(e[:, 0], E).float().mean(0)
        return y, 0.01 * E * (share * p.mean(0)).sum()


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = torch.nn.LayerNorm(D), torch.nn.LayerNorm(D)
        self.qkv = torch.nn.Linear(D, 3 * D, bias=False)
        self.out = torch.nn.Linear(D, D, bias=False)
        self.moe = Moe()

    def forward(self, x):
        q, k, v = self.qkv(self.n1(x)).view(B, S, 3, H, D // H).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(B, S, D))
        y, aux = self.moe(self.n2(x).view(-1, D))
        return x + y.view(B, S, D), aux


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = torch.nn.Embedding(V, D)
        self.positions = torch.nn.Parameter(torch.randn(S, D) * 0.02)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.norm = torch.nn.LayerNorm(D)
        torch.nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids, targets):
        x, total = self.tokens(ids) + self.positions, 0.0
        for block in self.blocks:
            x, aux = block(x)
            total = total + aux
        logits = self.norm(x).view(-1, D) @ self.tokens.weight.t()
        return F.cross_entropy(logits, targets.view(-1)) + total


def flops_per_step():
    per_token = L * (2 * 4 * D * D + 2 * 2 * (S + 1) / 2 * D + K * 2 * 2 * D * HID + 2 * D * E)
    return 3 * B * S * (per_token + 2 * D * V)


def run(model, optimizer, step_function, repeats, warmup):
    seconds = []
    for i in range(repeats + warmup):
        ids, targets = torch.randint(V, (B, S)), torch.randint(V, (B, S))
        begin = time.perf_counter()
        loss = step_function(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if i >= warmup:
            seconds.append(time.perf_counter() - begin)
        assert math.isfinite(loss.item())
    return seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    step_function = torch.compile(model) if args.compile else model
    seconds = run(model, optimizer, step_function, args.repeats, args.warmup)
    rates = sorted(B * S / s for s in seconds)
    print(json.dumps({
        "bench": "torch_step", "torch": torch.__version__, "compile": args.compile,
        "threads": args.threads,
        "tokens_per_s": {"median": statistics.median(rates), "min": rates[0], "max": rates[-1]},
        "flops_per_s": flops_per_step() / statistics.median(seconds),
        "isa": torch.backends.cpu.get_cpu_capability()}))


if __name__ == "__main__":
    main()
