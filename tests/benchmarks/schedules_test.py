"""The benchmark of schedules computes what it should, and its smallest grid runs: 2 batches x 2
token budgets on real text. schedules_test.py HECATE"""
import gzip
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "schedules"))
import grid  # noqa: E402
import pictures  # noqa: E402

HECATE = sys.argv.pop() if len(sys.argv) > 1 else ""


class Computed(unittest.TestCase):
    def test_the_best_rate_is_a_parabolas_lowest_point(self):
        losses = {r: 2 + 0.1 * math.log(r / 0.005) ** 2 for r in (0.001, 0.002, 0.004, 0.008)}
        rate, loss, inside = grid.best_rate(losses)
        self.assertAlmostEqual(0.005, rate)
        self.assertAlmostEqual(2, loss)
        self.assertTrue(inside)
        del losses[0.008]
        self.assertEqual((0.004, losses[0.004], False), grid.best_rate(losses))
        losses[0.008] = math.inf
        self.assertEqual((0.004, losses[0.004], True), grid.best_rate(losses))

    def test_the_fit_finds_a_power_law(self):
        cells = [(b, t, 4.6 * b ** 0.9 * t ** -0.51) for b in (1, 2, 4) for t in (1e5, 1e6)]
        factor, p, q = grid.fit_power_law(cells)
        self.assertAlmostEqual(4.6, factor)
        self.assertAlmostEqual(0.9, p)
        self.assertAlmostEqual(-0.51, q)
        self.assertRaises(ValueError, grid.fit_power_law, cells[:1] * 3)

    def test_only_runs_far_above_are_without_hope(self):
        good, bad = [5.0] * 10 + [2.0] * 90, [5.0] * 100
        self.assertTrue(grid.hopeless(bad[:50], good, 100))
        self.assertFalse(grid.hopeless(bad[:39], good, 100))
        self.assertFalse(grid.hopeless([2.2] * 50, good, 100))
        self.assertFalse(grid.hopeless(bad[:50], [], 100))

    def test_the_worst_cell_counts(self):
        excess, cell = grid.worst_excess({"a": 2.2, "b": 1.0}, {"a": 2.0, "b": 1.0})
        self.assertEqual("a", cell)
        self.assertAlmostEqual(0.1, excess)

    def test_pictures_have_every_curve(self):
        svg = pictures.curves_svg("t", "x", "y", {"one": [(1, 1), (10, 2)], "two": [(1, 3)]}, True)
        self.assertEqual(2, svg.count("<polyline"))
        self.assertEqual(3, svg.count("<circle"))
        self.assertRaises(ValueError, pictures.curves_svg, "t", "x", "y", {})


@unittest.skipUnless(HECATE, "needs the program")
class Grid(unittest.TestCase):
    def test_two_by_two_runs_and_is_not_run_twice(self):
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch)
            text = gzip.open(ROOT / "configs" / "data" / "kjv.txt.gz").read(40000)
            (out / "text.txt").write_bytes(text)
            subprocess.run([HECATE, "data", "prepare", out / "text.txt", "--tokenizer", "byte",
                            "--out", out / "data"], check=True, capture_output=True)
            command = [ROOT / "benchmarks" / "schedules" / "run", "--binary", HECATE, "--data",
                       out / "data", "--out", out / "results", "--batches", "2,4",
                       "--tokens", "2560,5120", "--rates", "0.004,0.016", "--power-a", "4",
                       "--warmup-tokens", "512", "--seeds", "1,2", "--steps", "40",
                       "--set", "model.sequence=32", "--set", "model.d_model=48",
                       "--set", "device.threads=1"]
            first = subprocess.run(command, check=True, text=True, capture_output=True).stdout
            self.assertIn("best WSD rate = ", first)
            results = json.loads((out / "results" / "results.json").read_text())
            cells = results["transfer"]["cells"]
            self.assertEqual(4, len(cells))
            for cell in cells:
                self.assertEqual(2, len(cell["losses"]))
                for loss in [*cell["losses"].values(), *cell["power_losses"].values()]:
                    self.assertTrue(2 < loss < 5.6, loss)  # better than all bytes alike
            for losses in results["checkpoints"]["losses"].values():
                self.assertEqual(3, len(losses))
                self.assertLess(losses[2], losses[0])
            self.assertEqual([10, 19, 37], results["checkpoints"]["wsd_release_steps"])
            for picture in ("transfer.svg", "checkpoints.svg"):
                self.assertTrue((out / "results" / picture).exists())
            again = subprocess.run(command, check=True, text=True, capture_output=True).stdout
            self.assertIn("0 runs started", again)
            self.assertEqual(results, json.loads((out / "results" / "results.json").read_text()))


if __name__ == "__main__":
    unittest.main()
