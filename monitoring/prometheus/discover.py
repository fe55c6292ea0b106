#!/usr/bin/env python3
"""Writes targets for Prometheus's file discovery from a Slurm job or a host file.

  discover.py --slurm JOBID --out discovered/JOBID.json
  discover.py --hostfile hosts --ranks each --out discovered/hosts.json

With --ranks first (metrics.ranks = first) only the first host's port is a target; with --ranks each,
every host's from --port on, one per slot. Runs then need metrics.allow_remote = true and an address
that Prometheus reaches. The file is replaced at once, so Prometheus never reads half of it.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def hostfile_slots(text):
    """[(host, slots)] of an Open MPI host file ("host slots=4"), a plain list or host:4 lines."""
    hosts = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        host, _, inline = words[0].partition(":")
        slots = int(inline) if inline.isdigit() else 1
        for word in words[1:]:
            if match := re.fullmatch(r"slots=(\d+)", word):
                slots = int(match.group(1))
        hosts.append((host, slots))
    return hosts


def expand_counts(text):
    """Slurm's tasks per node: "4(x2),3" is [4, 4, 3]."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            sys.exit(f"discover.py: tasks per node {text!r}: expected text such as 4(x2),3")
        counts += [int(match.group(1))] * int(match.group(2) or 1)
    return counts


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def slurm_slots(job):
    """[(host, tasks)] of a running job, by squeue and scontrol."""
    nodes, tasks = run("squeue", "-h", "-j", job, "-o", "%N|%D %C").strip().split("|")
    hosts = run("scontrol", "show", "hostnames", nodes).split()
    shown = run("scontrol", "show", "job", job)
    match = re.search(r"\bTasksPerNode=(\S+)", shown) or re.search(r"\bNtasksPerN:\S*?(\d+)", shown)
    total = re.search(r"\bNumTasks=(\d+)", shown)
    if match and match.group(1)[0].isdigit():
        counts = expand_counts(match.group(1))
    elif total:
        counts = [-(-int(total.group(1)) // len(hosts))]
    else:
        sys.exit(f"discover.py: job {job}: no number of tasks in scontrol's answer ({tasks})")
    counts += counts[-1:] * (len(hosts) - len(counts))
    return list(zip(hosts, counts))


def targets(slots, port, ranks):
    if ranks == "first":
        slots = [(slots[0][0], 1)]
    return [f"{host}:{port + place}" for host, count in slots for place in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--slurm", metavar="JOBID")
    source.add_argument("--hostfile", metavar="FILE")
    parser.add_argument("--port", type=int, default=9464, help="of metrics.address")
    parser.add_argument("--ranks", choices=["first", "each"], default="first",
                        help="as metrics.ranks")
    parser.add_argument("--out", required=True, metavar="FILE.json")
    given = parser.parse_args()
    slots = (slurm_slots(given.slurm) if given.slurm else
             hostfile_slots(pathlib.Path(given.hostfile).read_text()))
    if not slots:
        sys.exit("discover.py: no hosts")
    out = pathlib.Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = [{"targets": targets(slots, given.port, given.ranks), "labels": {}}]
    with tempfile.NamedTemporaryFile("w", dir=out.parent, suffix=".tmp", delete=False) as file:
        json.dump(content, file)
    os.chmod(file.name, 0o644)
    os.replace(file.name, out)


if __name__ == "__main__":
    main()
