"""What the benchmark of strategies reads and computes; no cluster needed. All times in seconds."""
import json
import statistics
import struct


def read_steps(text, first):
    """Training lines of a steps.jsonl, the first `first` steps left out."""
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [line for line in lines if "loss" in line and line["step"] > first]


def median(values):
    values = list(values)
    return statistics.median(values) if values else 0.0


def summarise(steps):
    """One run's medians."""
    if not steps:
        raise ValueError("no steps left: too few were run")
    kinds = sorted({kind for step in steps for kind in step["breakdown"]})
    waits = sorted({kind for step in steps for kind in step["sharded"]["waited_seconds"]})
    seconds = [step["step_seconds"] for step in steps]
    planning = [step["sharded"]["planning_seconds"] + step["breakdown"].get("host", 0.0)
                for step in steps]

    def sharded(key):
        return median(step["sharded"][key] for step in steps)

    def sent(kind):
        return median(step["traffic"]["sent_bytes"][kind] for step in steps)

    def link(*kinds):
        return median(sum(step["traffic"]["busiest_link_bytes"][kind] for kind in kinds)
                      for step in steps)

    return {
        "steps": len(steps),
        "step_seconds": median(seconds),
        "fastest_seconds": min(seconds),
        "slowest_seconds": max(seconds),
        "breakdown": {k: median(s["breakdown"].get(k, 0.0) for s in steps) for k in kinds},
        "waited": {k: median(s["sharded"]["waited_seconds"].get(k, 0.0) for s in steps)
                   for k in waits},
        "planning_share": median(p / s for p, s in zip(planning, seconds)),
        # One after the other, so what is the busiest link of each counts.
        "link_bytes": link("dispatch", "combine"),
        "all_link_bytes": link("all"),
        "busiest_rank_rows": sharded("busiest_rank_rows"),
        "gathered_bytes": sent("sparse_gather"),
        "reduced_bytes": sent("sparse_reduce"),
    }


def compute_seconds(shape, busiest_rank_rows):
    """Of the slowest device, from flops and pace alone: what no overlap can go below.

    Products alone (norms, gates and the head's loss come on top), backward twice forward. Every
    layer is a MoE layer of two matrices per expert.
    """
    tokens, d = shape["tokens"], shape["d_model"]
    attention = tokens * (8 * d * d + 2 * shape["sequence"] * d)
    head = 2 * tokens * d * shape["vocabulary"]
    experts = busiest_rank_rows * 4 * d * shape["expert_hidden"]
    return 3 * (shape["layers"] * attention + head + experts) / (1e9 * shape["pace_gflops"])


def link_seconds(link_bytes, gbit):
    return link_bytes * 8 / (gbit * 1e9)


def ratios(runs):
    """Figures of one setting. @param runs: {(strategy, routing): summary}; missing ones are left
    out."""
    def seconds(strategy, routing):
        run = runs.get((strategy, routing))
        return run["step_seconds"] if run else None

    def over(a, b):
        return a / b if a and b else None

    ep, fssdp = runs.get(("ep", "replay")), runs.get(("fssdp", "replay"))
    found = {
        "speedup over ep": over(seconds("ep", "replay"), seconds("fssdp", "replay")),
        "even / replay, ep": over(seconds("ep", "even"), seconds("ep", "replay")),
        "even / replay, fssdp": over(seconds("fssdp", "even"), seconds("fssdp", "replay")),
        "speedup over ep, even": over(seconds("ep", "even"), seconds("fssdp", "even")),
        "fssdp-rm / fssdp": over(seconds("fssdp-rm", "replay"), seconds("fssdp", "replay")),
        "link bytes, ep / fssdp": over(ep["link_bytes"], fssdp["link_bytes"])
                                  if ep and fssdp else None,
        "exposed gather and reduce, fssdp":
            (fssdp["waited"].get("expert_gather", 0) + fssdp["waited"].get("expert_reduce", 0))
            / fssdp["step_seconds"] if fssdp else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def read_npy(data):
    """(shape, bytes per element, descr, offset of the elements) of a C-ordered .npy file."""
    if data[:6] != b"\x93NUMPY":
        raise ValueError("not an .npy file")
    wide = data[6] > 1
    length = struct.unpack("<I" if wide else "<H", data[8:12 if wide else 10])[0]
    begin = 12 if wide else 10
    header = eval(data[begin:begin + length], {"__builtins__": {}})  # a dict of literals
    if header["fortran_order"]:
        raise ValueError("expected C order")
    return header["shape"], int(header["descr"][-1]), header["descr"], begin + length


def later_samples(data, first):
    """The trace [sample, ...] without its first samples."""
    shape, width, descr, offset = read_npy(data)
    if first >= shape[0]:
        raise ValueError(f"the trace has {shape[0]} samples, asked to begin at {first}")
    sample = width
    for size in shape[1:]:
        sample *= size
    new_shape = (shape[0] - first,) + tuple(shape[1:])
    header = repr({"descr": descr, "fortran_order": False, "shape": new_shape}).encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            + data[offset + first * sample:])


def table(runs):
    """Text lines. @param runs: list of records as the benchmark writes them."""
    columns = ("gbit", "experts", "strategy", "routing", "step s", "range", "compute s", "link s",
               "dense wait", "disp", "comb", "gather", "reduce", "link MB", "plan %")
    rows = [columns]
    for run in runs:
        waited, kinds = run["waited"], run["breakdown"]
        dense = waited.get("dense_gather", 0) + waited.get("dense_reduce", 0)
        rows.append((
            f"{run['gbit']:g}", str(run["experts"]), run["label"], run["routing"],
            f"{run['step_seconds']:.3f}",
            f"{run['fastest_seconds']:.2f}-{run['slowest_seconds']:.2f}",
            f"{run['compute_bound_seconds']:.3f}", f"{run['link_bound_seconds']:.3f}",
            f"{dense:.3f}",
            *(f"{kinds.get(kind, 0):.3f}({waited.get(kind, 0):.3f})"
              for kind in ("dispatch", "combine", "expert_gather", "expert_reduce")),
            f"{run['link_bytes'] / 1e6:.2f}", f"{100 * run['planning_share']:.2f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
