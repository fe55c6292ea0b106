#!/usr/bin/env python3
"""discover_test.py PROMETHEUS_FOLDER: targets of host files, and of Slurm as stand-ins answer."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SQUEUE = "#!/bin/sh\n[ \"$3\" = 42 ] && echo 'n[1-2],m7|3 11'\n"
SCONTROL = """#!/bin/sh
if [ "$2" = hostnames ]; then printf 'n1\\nn2\\nm7\\n'
else echo '   NumNodes=3 NumCPUs=11 NumTasks=11 TasksPerNode=4(x2),3 Features=x'; fi
"""


def discover(script, *arguments, path=None):
    env = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}") if path else None
    out = arguments[-1]
    done = subprocess.run([sys.executable, script, *arguments[:-1], "--out", out], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [group] = json.loads(pathlib.Path(out).read_text())
    assert group["labels"] == {}
    return group["targets"]


def main():
    script = pathlib.Path(sys.argv[1]) / "discover.py"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        hosts = scratch / "hosts"
        hosts.write_text("# a cluster\nalpha slots=2 max_slots=4\n\nbeta:3   # three\ngamma\n")
        out = str(scratch / "new" / "hosts.json")
        each = discover(script, "--hostfile", str(hosts), "--ranks", "each", out)
        assert each == ["alpha:9464", "alpha:9465", "beta:9464", "beta:9465", "beta:9466",
                        "gamma:9464"], each
        first = discover(script, "--hostfile", str(hosts), "--port", "9500", out)
        assert first == ["alpha:9500"], first
        for name, text in (("squeue", SQUEUE), ("scontrol", SCONTROL)):
            (scratch / name).write_text(text)
            (scratch / name).chmod(0o755)
        slurm = discover(script, "--slurm", "42", "--ranks", "each", out, path=scratch)
        assert slurm == [f"{host}:{9464 + i}" for host, count in (("n1", 4), ("n2", 4), ("m7", 3))
                         for i in range(count)], slurm
        assert [p.name for p in (scratch / "new").iterdir()] == ["hosts.json"]
        (scratch / "empty").write_text("# nobody\n")
        done = subprocess.run([sys.executable, script, "--hostfile", scratch / "empty", "--out", out],
                              capture_output=True, text=True)
        assert done.returncode != 0 and "no hosts" in done.stderr, done


if __name__ == "__main__":
    main()
