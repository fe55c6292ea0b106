"""What the comparison of simulator and measurement reads and computes; no cluster needed."""
import itertools
import re

DROPPED = 3
# Of the rate of a shaped link, what messages get through TCP.
GOODPUT = 0.119  # GB/s per Gbit/s


def profile_for(text, run):
    """The emulated cluster's profile with the links and devices of one run."""
    values = {"between_gb_per_s": GOODPUT * run["gbit"],
              "tflops": run["shape"]["pace_gflops"] / 1e3,
              "devices_per_node": run.get("ranks_per_node", 2)}
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        if count != 1:
            raise ValueError(f"the profile has {count} lines of {key}")
    return text


def simulate_arguments(run, trace):
    shape = run["shape"]
    ranks = run.get("nodes", 4) * run.get("ranks_per_node", 2)
    strategy = run["label"].split("@")[0]
    first = run.get("from_sample", 40)
    loads = "even" if run["routing"] == "even" else f"trace:{trace},from={first}"
    settings = [f"strategy={strategy}", f"train.global_batch={ranks}",
                f"model.layers={shape['layers']}", f"model.d_model={shape['d_model']}",
                f"model.heads={shape['d_model'] // 64}", f"model.sequence={shape['sequence']}",
                f"model.experts={run['experts']}", "model.top_k=2", "model.activation=gelu",
                f"model.expert_hidden={shape['expert_hidden']}",
                f"model.vocabulary={shape['vocabulary']}",
                f"fssdp.overlap_degree={run['overlap_degree']}",
                f"fssdp.memory_capacity={run['memory_capacity']}", *run.get("set", [])]
    words = ["--devices", str(ranks), "--loads", loads, "--warmup", str(DROPPED), "--steps",
             str(run["steps"])]
    return words + [word for setting in settings for word in ("--set", setting)]


def comparison(run, simulated):
    keys = ("label", "routing", "gbit", "experts", "nodes", "overlap_degree", "memory_capacity")
    return {"benchmark": "simulator", **{key: run[key] for key in keys if key in run},
            "measured": run["step_seconds"], "fastest": run["fastest_seconds"],
            "slowest": run["slowest_seconds"], "simulated": simulated,
            "ratio": simulated / run["step_seconds"]}


def setting(pair):
    return (pair.get("nodes", 4), pair["gbit"], pair["experts"], pair["routing"])


def wrong_orders(pairs, difference=0.05):
    """Pairs of one setting that differ by more than that when measured, simulated in the other
    order."""
    wrong = []
    for a, b in itertools.combinations(sorted(pairs, key=lambda p: p["measured"]), 2):
        if setting(a) != setting(b) or b["measured"] <= (1 + difference) * a["measured"]:
            continue
        if a["simulated"] >= b["simulated"]:
            wrong.append((a, b))
    return wrong


def table(pairs):
    rows = [("nodes", "Gbit/s", "experts", "routing", "strategy", "measured s", "range",
             "simulated s", "simulated / measured")]
    for pair in sorted(pairs, key=lambda p: (setting(p), p["label"])):
        rows.append((str(pair.get("nodes", 4)), f"{pair['gbit']:g}", str(pair["experts"]),
                     pair["routing"], pair["label"], f"{pair['measured']:.3f}",
                     f"{pair['fastest']:.2f}-{pair['slowest']:.2f}", f"{pair['simulated']:.3f}",
                     f"{pair['ratio']:.3f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
