"""The report of real runs in headless Chromium: it must draw every chart, in light and dark, wide and
narrow, without an error, answer pointer and keys, and save pictures.

browser_test.py HECATE OUT_DIR: exit code 77 where there is no browser. Screenshots stay in OUT_DIR.
"""
import base64
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "monitoring" / "report"))
import browser  # noqa: E402

CONFIG = """
seed = 1
[data]
path = "data"
[model]
preset = "tiny"
layers = 3
experts = 8
top_k = 2
[train]
steps = 16
global_batch = 4
micro_batch = 1
eval_every = 8
eval_batches = 1
[schedule]
kind = "cosine"
rate = 1e-2
warmup = "20%"
[fssdp]
overlap_degree = 2
memory_capacity = 2
[device]
memory_gib = 0.0078125
"""
# A name that would do harm if any of it became markup.
HOSTILE = '"><img src=x onerror=window.harmed=1>'

EXPECTED = {"loss", "rate", "throughput", "step-time", "gradient", "utilisation", "critical-path",
            "hidden-0", "load-heat", "expert-heat", "memory", "timeline", "in-flight",
            "memory-in-step"}


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp())
        cls.out = pathlib.Path(OUT)
        cls.out.mkdir(parents=True, exist_ok=True)
        (cls.scratch / "run.toml").write_text(CONFIG)
        (cls.scratch / "text.txt").write_text(
            "".join(f"The quick brown fox counts to {i % 97}.\n" for i in range(1500)))
        cls.hecate("data", "prepare", "text.txt", "--tokenizer", "byte", "--out", "data")
        cls.train("one", 1, "device.memory_gib=0")
        cls.train("fssdp", 4, "strategy=fssdp", "--trace", "steps=12..13")
        cls.train("ep", 4, "strategy=ep")
        cls.browser = browser.Browser(browser.find(), cls.scratch / "profile")

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        shutil.rmtree(cls.scratch, ignore_errors=True)

    @classmethod
    def hecate(cls, *arguments, launcher=()):
        done = subprocess.run([*launcher, HECATE, *arguments], cwd=cls.scratch, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.stdout}")

    @classmethod
    def train(cls, name, ranks, setting, *more):
        environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}
        os.environ.update(environment)
        launcher = ("mpirun", "-np", str(ranks)) if ranks > 1 else ()
        traced = more if ranks > 1 else ()
        cls.hecate("train", "run.toml", "--run", "runs/" + name, "--set", setting, "--set",
                   "trace_loads=true", *traced, launcher=launcher)

    def open(self, out, *runs, width=1280, dark=False):
        self.hecate("report", *runs, "-o", out)
        self.browser.errors.clear()
        self.browser.size(width, 900, dark)
        self.browser.open(f"file://{self.scratch / out}")
        self.browser.settle()

    def picture(self, name):
        height = self.browser.run("document.documentElement.scrollHeight")
        self.browser.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=False,
                          width=self.browser.run("innerWidth"), height=min(height, 12000))
        self.browser.settle()
        self.browser.screenshot(self.out / name, whole=False)

    def marks(self):
        """Of each chart, how many marks are in its plot."""
        return self.browser.run(
            "Object.fromEntries([...document.querySelectorAll('figure.chart')].map(f => [f.id,"
            " f.querySelectorAll('.plot svg > path, .plot svg > rect, .plot svg > circle').length]))")

    def check(self, expected):
        marks = self.marks()
        self.assertEqual(expected, set(marks))
        self.assertEqual([], [name for name, count in marks.items() if count == 0], "empty charts")
        self.assertEqual([], self.browser.errors)
        over = self.browser.run("document.documentElement.scrollWidth - innerWidth")
        self.assertLessEqual(over, 0, "the page is wider than the window")

    def columns(self):
        """What the run's log has."""
        lines = (self.scratch / "runs/fssdp/steps.jsonl").read_text().splitlines()
        return json.loads(lines[0])

    def expected(self):
        line, charts = self.columns(), set(EXPECTED)
        if "flops_utilization" not in line:
            charts -= {"utilisation"}
        if "placement" in line:
            charts |= {"placement"}
        if "layers" in line["sharded"]:
            charts |= {"imbalance"}
        if "ranks" in line:
            charts |= {"rank-compute", "rank-waited"}
        return charts

    def test_every_chart_of_one_run_in_light_and_dark_wide_and_narrow(self):
        for width in (1280, 390):
            self.open("one.html", "runs/fssdp", width=width)
            for dark in (False, True):
                self.browser.size(width, 900, dark)
                self.check(self.expected())
                back = self.browser.run("getComputedStyle(document.body).backgroundColor")
                self.assertEqual(dark, int(back.split("(")[1].split(",")[0]) < 128)
                self.picture(f"report-{width}-{'dark' if dark else 'light'}.png")
        text = self.browser.run("document.body.innerText")
        self.assertIn("16 of 16", text)
        self.assertIn("Step 13, lane by lane", text)
        self.assertIn("budget 8 MiB", self.browser.run(
            "document.querySelector('#memory svg').textContent"))
        self.assertNotIn("NaN", text)
        self.assertNotIn("undefined", text)

    def test_several_runs_lie_over_one_another(self):
        self.open("all.html", "runs/fssdp", "runs/ep", "runs/one")
        self.check((self.expected() | {"hidden-1"}))
        names = self.browser.run(
            "[...document.querySelectorAll('#throughput .legend button')].map(b => b.textContent)")
        self.assertEqual(["fssdp", "ep", "one"], names)
        lines = "document.querySelectorAll('#throughput .plot svg > path').length"
        self.assertEqual(3, self.browser.run(lines))
        self.browser.run("document.querySelector('#throughput .legend button').click()")
        self.assertEqual(2, self.browser.run(lines), "a click on its name hides a run")
        self.picture("report-several.png")
        # The charts of another run; one rank has neither placement nor traffic.
        self.browser.run("const c = document.getElementById('run-choice'); c.value = 2;"
                         "c.dispatchEvent(new Event('change'))")
        self.browser.settle()
        marks = self.marks()
        self.assertNotIn("placement", marks)
        self.assertIn("load-heat", marks)
        self.assertIn("one rank holds everything", self.browser.run("document.body.innerText"))
        self.assertEqual([], self.browser.errors)

    def test_keys_and_pointer_show_values(self):
        self.open("one.html", "runs/fssdp")
        losses = [json.loads(line) for line in
                  (self.scratch / "runs/fssdp/steps.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in losses if "loss" in line]
        tip = "document.querySelector('#loss .tip')"
        self.assertTrue(self.browser.run(tip + ".hidden"))
        self.browser.run("document.querySelector('#loss .plot').focus()")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
            self.browser.press(key)
        shown = self.browser.run(tip + ".textContent")
        self.assertIn("step 3", shown)
        self.assertIn(f"{losses[2]:.4g}"[:4], shown)
        self.assertIn("step 3", self.browser.run("document.querySelector('#loss [aria-live]').textContent"))
        self.browser.press("Escape")
        self.assertTrue(self.browser.run(tip + ".hidden"))
        box = self.browser.run("(() => { const b = document.querySelector('#memory .plot svg')"
                               ".getBoundingClientRect(); return [b.x, b.y + scrollY, b.width, b.height] })()")
        self.browser.run(f"scrollTo(0, {box[1] - 200})")
        top = self.browser.run("document.querySelector('#memory .plot svg').getBoundingClientRect().y")
        self.browser.move(box[0] + box[2] / 2, top + box[3] / 2)
        self.assertIn("parameters", self.browser.run("document.querySelector('#memory .tip').textContent"))
        self.assertEqual([], self.browser.errors)

    def test_every_chart_is_saved_as_svg_and_png(self):
        self.open("one.html", "runs/fssdp")
        folder = self.scratch / "saved"
        folder.mkdir()
        self.browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.browser.run("document.querySelectorAll('#loss .tools button')[1].click()")
        deadline = time.monotonic() + 20
        while not (folder / "loss.svg").exists():
            self.assertLess(time.monotonic(), deadline, "loss.svg was not saved")
            time.sleep(0.05)
        # Browsers ask before many downloads: here the other files are caught on their way.
        self.browser.run("""
            window.caught = {};
            let last = null;
            const create = URL.createObjectURL;
            URL.createObjectURL = (blob) => { last = blob; return create(blob); };
            HTMLAnchorElement.prototype.click = function () { caught[this.download] = last; };
            window.read = (name) => new Promise((done) => {
              const reader = new FileReader();
              reader.onload = () => done(reader.result.split(',')[1]);
              reader.readAsDataURL(caught[name]);
            });""")
        for chart in sorted(self.marks()):
            self.browser.run(f"document.querySelectorAll('#{chart} .tools button').forEach((b, i) => i && b.click());"
                             f"new Promise(function wait(done) {{ caught['{chart}.png'] ? done() : setTimeout(wait, 20, done); }})")
            text = base64.b64decode(self.browser.run(f"read('{chart}.svg')")).decode()
            self.assertNotIn("var(", text)
            self.assertGreater(len(list(xml.fromstring(text).iter())), 10)
            data = base64.b64decode(self.browser.run(f"read('{chart}.png')"))
            self.assertEqual(b"\x89PNG\r\n\x1a\n", data[:8])
            width, height = struct.unpack(">II", data[16:24])
            self.assertEqual(2000, width)
            self.assertGreater(height, 200)
            (self.out / f"chart-{chart}.png").write_bytes(data)
        self.assertEqual([], self.browser.errors)

    def test_a_run_that_goes_on_and_a_hostile_name(self):
        name = "runs/" + HOSTILE.replace("/", "")
        whole = (self.scratch / "runs/fssdp/steps.jsonl").read_text()
        target = self.scratch / name
        target.mkdir()
        shutil.copy(self.scratch / "runs/fssdp/config.toml", target / "config.toml")
        lines = whole.splitlines(keepends=True)
        (target / "steps.jsonl").write_text("".join(lines[:5]) + lines[5][:40])
        self.open("going.html", name)
        text = self.browser.run("document.body.innerText")
        self.assertIn("5 of 16", text)
        self.assertIn("running", text)
        self.assertIn("this run recorded none", text)
        self.assertIsNone(self.browser.run("window.harmed ?? null"))
        self.assertEqual([], self.browser.errors)
        (target / "steps.jsonl").unlink()
        self.open("going.html", name)
        self.assertIn("there is no steps.jsonl yet", self.browser.run("document.body.innerText"))
        self.assertEqual({}, self.marks())
        self.assertEqual([], self.browser.errors)

    def test_a_population_has_a_lineage(self):
        members = self.scratch / "population/members"
        for name in ("00", "01", "02"):
            (members / name).mkdir(parents=True)
            for file in ("config.toml", "steps.jsonl"):
                shutil.copy(self.scratch / "runs/one" / file, members / name / file)
        rows = [{"event": "exploit", "target": target, "donor": donor, "target_step": step,
                 "donor_step": step, "target_score": 3.5, "donor_score": 3.25,
                 "old": {"schedule.rate": "0.01"}, "new": {"schedule.rate": "0.012"}}
                for target, donor, step in ((1, 0, 4), (2, 1, 8))]
        (self.scratch / "population/pbt.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows))
        self.open("population.html", "population")
        self.assertGreater(self.marks()["lineage"], 5)
        self.browser.run("document.querySelector('#lineage .plot').focus()")
        self.browser.press("ArrowRight")
        shown = self.browser.run("document.querySelector('#lineage .tip').textContent")
        self.assertIn("1 takes 0 at step 4", shown)
        self.assertIn("0.01 → 0.012", shown)
        self.picture("report-population.png")
        self.assertEqual([], self.browser.errors)

    def test_what_is_no_run_is_an_error(self):
        done = subprocess.run([HECATE, "report", "nowhere", "-o", "none.html"], cwd=self.scratch,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(2, done.returncode)
        self.assertIn("nowhere: no such run directory", done.stdout)
        self.assertFalse((self.scratch / "none.html").exists())

    def test_nothing_is_fetched(self):
        self.open("one.html", "runs/fssdp")
        fetched = [params["request"]["url"] for method, params in self.browser.events
                   if method == "Network.requestWillBeSent"]
        self.assertEqual([f"file://{self.scratch / 'one.html'}"],
                         [url for url in fetched if not url.startswith("data:")])


if __name__ == "__main__":
    HECATE, OUT = map(os.path.abspath, sys.argv[1:3])
    if browser.find() is None:
        print("no Chromium: skipped")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
