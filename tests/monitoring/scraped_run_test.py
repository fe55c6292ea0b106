#!/usr/bin/env python3
"""scraped_run_test.py MONITORING HECATE POPULATION_EXPORTER FAKE_NVML: real runs under a real Prometheus.

Four targets live for some seconds: `whole` (4 ranks on 2 emulated nodes, served by the first rank),
`broken` (2 ranks, each serving itself: rates so high that losses are not finite, and too few
series), `alone` (one process at full speed, near its memory budget, whose port is taken,
with a stand-in for NVIDIA's library), and a
population. Prometheus finds them by metrics.targets and evaluates the project's rules. Then: what
each exporter says passes promtool; every expression of every panel, rule and alert has returned
data; the values are those of steps.jsonl. A rank is slowed, then stopped, a member of the population
is lost, a run is killed: what the alerts are for.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request


SECONDS = 13          # of undisturbed scraping
STRAGGLE, STALL = 4, 5
# Thresholds of hours, shortened to what a test waits for; promtool's tests are for the real ones.
SHORTER = {"HecateStepStalled": [("> 120", "> 2"), ("> 10 *", "> 2 *")],
           "HecateCheckpointStale": [("> 1800", "> 2")]}


def fail(what):
    print(f"FAILED: {what}", flush=True)
    fail.count += 1


fail.count = 0


class Jobs:
    """Processes of the test, all ended with it."""

    def __init__(self, scratch):
        self.scratch, self.running = scratch, {}

    def start(self, name, *command, **env):
        out = open(self.scratch / f"{name}.log", "w")
        self.running[name] = subprocess.Popen(command, cwd=self.scratch, stdout=out, stderr=out,
                                              stdin=subprocess.DEVNULL, start_new_session=True,
                                              env={**os.environ, **env})
        return self.running[name]

    def log(self, name):
        return (self.scratch / f"{name}.log").read_text()

    def end(self, name, how=signal.SIGTERM, patience=20):
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            kill([process.pid])
            fail(f"{name} did not end:\n{self.log(name)}")
            return -1

    def kill_all(self):
        for process in self.running.values():
            kill([process.pid])
            process.wait()
        kill(processes(self.scratch))


def processes(path, mark=b""):
    """Those with a path of the test on their command line, and a mark in their environment."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (str(path).encode() in (entry / "cmdline").read_bytes()
                    and mark in (entry / "environ").read_bytes()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Prometheus:
    def __init__(self, jobs, folder, scratch):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        shutil.copytree(folder / "prometheus" / "rules", scratch / "rules")
        (scratch / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [rules/*.yml]\n"
            "scrape_configs:\n"
            "  - job_name: hecate\n"
            "    file_sd_configs: [{files: [targets/*.json], refresh_interval: 1s}]\n")
        (scratch / "targets").mkdir()
        jobs.start("prometheus", "prometheus", f"--config.file={scratch}/prometheus.yml",
                   f"--storage.tsdb.path={scratch}/tsdb",
                   f"--web.listen-address={self.url[len('http://'):]}")
        self.begin = time.time()

    def get(self, path, **query):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def over_time(self, expression):
        """[(labels, [(time, value)])] at every second since the start."""
        try:
            found = self.get("query_range", query=expression, start=self.begin, end=time.time(),
                             step="1s")
        except urllib.error.HTTPError as error:
            fail(f"{expression}: {error.read().decode()}")
            return []
        return [(each["metric"], [(float(t), float(v)) for t, v in each["values"]])
                for each in found["result"]]


def panel_expressions(folder):
    for path in sorted((folder / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield (f"{path.name}: {panel['title']}",
                       re.sub(r"\$\{?\w+\}?", ".*", target["expr"]))


def rule_expressions(prometheus):
    """(name, expression) as Prometheus has read them, alerts shortened."""
    for group in prometheus.get("rules")["groups"]:
        for rule in group["rules"]:
            expression = rule["query"]
            for long, short in SHORTER.get(rule["name"], []):
                if long not in expression:
                    fail(f"{rule['name']}: no {long!r} in {expression!r}")
                expression = expression.replace(long, short)
            if rule["health"] != "ok":
                fail(f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
            yield rule["name"], expression


def check_expressions(prometheus, folder):
    count = 0
    for name, expression in [*panel_expressions(folder), *rule_expressions(prometheus)]:
        count += 1
        if not any(values for _, values in prometheus.over_time(expression)):
            fail(f"no data: {name}: {expression}")
    print(f"{count} expressions", flush=True)


def close(got, expected, digits):
    return abs(got - expected) <= 10 ** -digits * max(abs(expected), 1e-12)


def check_values(prometheus, scratch):
    """Every scrape of `whole` against the line of its step."""
    lines = [json.loads(line) for line in (scratch / "runs/whole/steps.jsonl").open()]
    steps = {line["step"]: line for line in lines if "loss" in line}
    numbers = sorted(steps)

    def total(of):
        sums, sum_so_far = {}, 0
        for number in numbers:
            sum_so_far += of(steps[number])
            sums[number] = sum_so_far
        return sums

    def series(expression):
        found = prometheus.over_time(expression)
        if len(found) != 1:
            fail(f"{expression}: {len(found)} series, expected 1")
        return dict(found[0][1]) if found else {}

    run = '{run="whole"}'
    at = series("hecate_steps_total" + run)
    sent = total(lambda line: line["traffic"]["sent_bytes"]["dispatch"])
    dropped = total(lambda line: line["load"]["1"]["dropped"])
    moved = total(lambda line: line["sharded"]["reshard_moves"])
    checks = {
        "hecate_loss" + run: (lambda s: s["loss"], 12),
        "hecate_learning_rate" + run: (lambda s: s["lr"], 12),
        "hecate_gradient_norm" + run: (lambda s: s["grad_norm"], 12),
        "hecate_tokens_total" + run: (lambda s: s["tokens"], 12),
        "hecate_step_seconds" + run: (lambda s: s["step_seconds"], 3),
        "hecate_tokens_per_second" + run: (lambda s: s["tokens_per_s"], 3),
        "hecate_exposed_ratio" + run: (lambda s: s["exposed_share"], 3),
        'hecate_expert_load_max_ratio{run="whole",layer="1"}':
            (lambda s: s["load"]["1"]["max_over_mean"], 4),
        'hecate_expert_load_entropy_ratio{run="whole",layer="1"}':
            (lambda s: s["load"]["1"]["entropy"], 4),
        'hecate_expert_choices{run="whole",layer="1",expert="2"}':
            (lambda s: s["load"]["1"]["counts"][2], 12),
        'hecate_device_imbalance_ratio{run="whole",layer="1",placement="owners"}':
            (lambda s: s["sharded"]["layers"]["1"]["imbalance_at_owners"], 4),
        'hecate_device_imbalance_ratio{run="whole",layer="1",placement="materialized"}':
            (lambda s: s["sharded"]["layers"]["1"]["imbalance"], 4),
        'hecate_expert_replicas{run="whole",layer="1"}':
            (lambda s: s["sharded"]["layers"]["1"]["replicas"], 12),
        'hecate_rank_compute_seconds{run="whole",rank="3"}':
            (lambda s: s["ranks"]["compute_seconds"][3], 3),
        'hecate_memory_peak_total_bytes{run="whole",rank="2"}':
            (lambda s: s["ranks"]["peak_bytes"][2], 12),
        'sum(hecate_sent_bytes_total{run="whole",collective="dispatch"})':
            (lambda s: sent[s["step"]], 12),
        'hecate_dropped_choices_total{run="whole",layer="1"}': (lambda s: dropped[s["step"]], 12),
        "hecate_owner_moves_total" + run: (lambda s: moved[s["step"]], 12),
    }
    for expression, (of, digits) in checks.items():
        compared = 0
        for t, value in series(expression).items():
            if t not in at:
                continue
            compared += 1
            expected = of(steps[int(at[t])])
            if not close(value, expected, digits):
                fail(f"{expression} = {value} at step {int(at[t])}, steps.jsonl: {expected}")
                break
        if compared < 5:
            fail(f"{expression}: {compared} values to compare")
    print(f"{len(checks)} families at {len(at)} seconds, steps {min(at.values()):.0f} to "
          f"{max(at.values()):.0f}", flush=True)


def check_exporters(targets):
    for address in targets:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            text = answer.read()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        said = (done.stdout + done.stderr).decode().strip()
        if done.returncode != 0 or said:
            fail(f"promtool check metrics of {address}: {said}")


def check_firing(prometheus):
    """Those that need no patience have really been raised."""
    raised = {labels["alertname"] for labels, _ in prometheus.over_time('ALERTS{alertstate="firing"}')}
    missing = {"HecateLossNotFinite", "HecateMemoryNearBudget", "HecateSeriesRefused"} - raised
    if missing:
        fail(f"not raised: {missing}; raised: {raised}")
    if "HecateStepStalled" in raised:
        fail("HecateStepStalled was raised")


def prepare(scratch, hecate):
    text = "".join(f"The quick brown fox counts to {i % 10}.\n" for i in range(400))
    (scratch / "text.txt").write_text(text)
    subprocess.run([hecate, "data", "prepare", "text.txt", "--tokenizer", "byte", "--out", "data"],
                   cwd=scratch, check=True, capture_output=True)
    shared = {"seed": 1, "data.path": "data", "model.preset": "tiny", "train.steps": 1000000,
              "train.global_batch": 16, "metrics.targets": "targets",
              "metrics.address": "127.0.0.1:0"}
    paced = {"device.kind": "paced", "fssdp.expert_gflops": 1}
    runs = {
        "whole": {**paced, "device.pace_gflops": 0.15, "cluster.ranks_per_node": 2,
                  "router.source": "zipf:1.2", "router.capacity_factor": 1.0,
                  "fssdp.overlap_degree": 2, "fssdp.memory_capacity": 1, "fssdp.reshard_every": 5,
                  "train.eval_every": 6, "train.eval_batches": 1, "checkpoint.every": 4,
                  "metrics.per_expert": "true"},
        "broken": {**paced, "device.pace_gflops": 0.3, "strategy": "ep", "router.source": "zipf:2",
                   "schedule.rate": 1e30, "schedule.warmup": "0", "train.on_spike": "skip",
                   "metrics.ranks": "each", "metrics.max_series": 80},
        "alone": {"device.threads": 1, "metrics.port_taken": "next"},
    }
    return {name: [word for key, value in {**shared, **own}.items()
                   for word in ("--set", f"{key}={value}")] for name, own in runs.items()}


def budget_of(scratch, hecate, settings):
    """A little more than one process needs, in GiB."""
    done = subprocess.run([hecate, "config", *settings], cwd=scratch, capture_output=True, text=True)
    return 1.04 * int(re.search(r"#\s+total\s+(\d+)", done.stdout).group(1)) / 2**30


def refused(scratch, hecate, settings):
    """What is wrong with an address is said before anything starts; a taken port is no reason."""
    done = subprocess.run([hecate, "train", *settings, "--run", "runs/none", "--set",
                           "metrics.address=0.0.0.0:9464"], cwd=scratch, capture_output=True,
                          text=True)
    if done.returncode != 2 or "metrics.allow_remote = true" not in done.stderr:
        fail(f"0.0.0.0: exit {done.returncode}: {done.stderr}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = subprocess.run([hecate, "train", *settings, "--run", "runs/warned", "--set",
                               "train.steps=2", "--set", "metrics.port_taken=warn", "--set",
                               f"metrics.address=127.0.0.1:{port}"], cwd=scratch,
                              capture_output=True, text=True)
    if done.returncode != 0 or "the run goes on without serving metrics" not in done.stderr:
        fail(f"taken port: exit {done.returncode}: {done.stderr}")


def wait_for(what, condition, patience=30):
    begin = time.time()
    while not condition():
        if time.time() > begin + patience:
            raise SystemExit(f"no {what} after {patience} s")
        time.sleep(0.1)


def slow_down(pid, seconds):
    end = time.time() + seconds
    while time.time() < end:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.25)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.15)


def targets_of(scratch):
    found = []
    for path in (scratch / "targets").glob("*.json"):
        found += json.loads(path.read_text())[0]["targets"]
    return found


def live(jobs, prometheus, scratch, programs, settings):
    hecate, population, nvml = map(str, programs)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    port = taken.getsockname()[1]

    def mpirun(ranks, name):
        jobs.start(name, "mpirun", "-np", str(ranks), hecate, "train", *settings[name], "--run",
                   str(scratch / "runs" / name))

    mpirun(4, "whole")
    mpirun(2, "broken")
    budget = budget_of(scratch, hecate, settings["alone"])
    jobs.start("alone", "nice", "-n", "15", hecate, "train", *settings["alone"], "--run",
               str(scratch / "runs/alone"), "--set", f"device.memory_gib={budget}", "--set",
               f"metrics.address=127.0.0.1:{port}", LD_LIBRARY_PATH=nvml)
    jobs.start("population", population, str(SECONDS + STRAGGLE + STALL))
    wait_for("population", lambda: jobs.log("population").endswith("\n"))
    (scratch / "targets/population.json").write_text(
        json.dumps([{"targets": [jobs.log("population").strip()], "labels": {}}]))
    wait_for("target", lambda: len(targets_of(scratch)) == 5)
    if f"port {port} is taken" not in jobs.log("alone"):
        fail(f"alone says nothing of its port:\n{jobs.log('alone')}")
    wait_for("scrape", lambda: len(prometheus.get("query", query="up == 1")["result"]) == 5)
    time.sleep(SECONDS - STRAGGLE)
    check_exporters(targets_of(scratch))
    [straggler] = processes(scratch / "runs/whole", b"OMPI_COMM_WORLD_RANK=3\0")
    slow_down(straggler, STRAGGLE)
    kill(processes(scratch / "runs/broken"))
    os.kill(straggler, signal.SIGSTOP)
    time.sleep(STALL)
    os.kill(straggler, signal.SIGCONT)
    os.kill(straggler, signal.SIGTERM)  # one rank is enough
    for name, how in (("alone", signal.SIGTERM), ("whole", 0)):
        if (code := jobs.end(name, how)) != 0:
            fail(f"{name} ended with {code}:\n{jobs.log(name)}")
    time.sleep(1.5)
    left = sorted(path.name for path in (scratch / "targets").iterdir())
    if left != ["broken.json", "population.json"]:
        fail(f"files in metrics.targets: {left}")


def main():
    folder, *programs = (pathlib.Path(word).resolve() for word in sys.argv[1:5])
    hecate = str(programs[0])
    if not all(map(shutil.which, ("prometheus", "promtool", "mpirun"))):
        print("no prometheus, promtool or mpirun: skipped")
        sys.exit(77)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="hecate-scraped-"))
    jobs = Jobs(scratch)
    try:
        settings = prepare(scratch, hecate)
        prometheus = Prometheus(jobs, folder, scratch)
        live(jobs, prometheus, scratch, programs, settings)
        check_expressions(prometheus, folder)
        check_values(prometheus, scratch)
        check_firing(prometheus)
        refused(scratch, hecate, settings["alone"])
        ranks = prometheus.over_time('hecate_heartbeat_timestamp_seconds{run="broken"}')
        if len({(m["rank"], m["instance"]) for m, _ in ranks}) != 2:
            fail(f"metrics.ranks = each: {[m for m, _ in ranks]}")
    finally:
        jobs.kill_all()
        if fail.count:
            for name in ("whole", "broken", "alone"):
                print(f"--- {name}\n{jobs.log(name)[-3000:]}")
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(1 if fail.count else 0)


if __name__ == "__main__":
    main()
