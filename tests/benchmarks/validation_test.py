"""The comparison of simulator and measurement, and that of two result files; runs nothing."""
import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "simulator"))
import validation  # noqa: E402

loader = importlib.machinery.SourceFileLoader("compare", str(ROOT / "benchmarks" / "compare"))
compare = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
loader.exec_module(compare)


def run(label, seconds, gbit=1.0):
    return {"label": label, "routing": "replay", "gbit": gbit, "experts": 16, "nodes": 2,
            "ranks_per_node": 2, "from_sample": 7, "step_seconds": seconds, "steps": 4,
            "fastest_seconds": seconds, "slowest_seconds": seconds, "overlap_degree": 3,
            "memory_capacity": 2, "set": ["rearrange.every=3"],
            "shape": {"layers": 2, "d_model": 128, "sequence": 64, "expert_hidden": 256,
                      "vocabulary": 257, "pace_gflops": 4.5}}


def cell(seconds, **more):
    return {"group": "weak", "strategy": "ep", "step_seconds": seconds, "error": "", "fits": True,
            "memory_gib": 1.0, **more}


class Validation(unittest.TestCase):
    def test_profile_gets_the_links_of_the_run(self):
        text = (ROOT / "configs" / "clusters" / "emulated.toml").read_text()
        found = validation.profile_for(text, run("ep", 1, gbit=2.0))
        self.assertIn("between_gb_per_s = 0.238\n", found)
        self.assertIn("tflops = 0.0045\n", found)
        self.assertRaises(ValueError, validation.profile_for, "[device]\n", run("ep", 1))

    def test_simulates_what_was_measured(self):
        words = validation.simulate_arguments(run("fssdp@10", 1), "t.npy")
        self.assertIn("strategy=fssdp", words)
        self.assertIn("trace:t.npy,from=7", words)
        self.assertIn("fssdp.overlap_degree=3", words)
        self.assertEqual("rearrange.every=3", words[-1])
        self.assertEqual("4", words[words.index("--devices") + 1])

    def test_orders_count_only_beyond_five_per_cent(self):
        pairs = [validation.comparison(run("a", 1.0), 1.1), validation.comparison(run("b", 1.04), 1),
                 validation.comparison(run("c", 1.2), 1.05),
                 validation.comparison(run("d", 3.0, gbit=2.0), 0.1)]
        wrong = validation.wrong_orders(pairs)
        self.assertEqual([("a", "c")], [(a["label"], b["label"]) for a, b in wrong])
        self.assertEqual(5, len(validation.table(pairs)))


class Compare(unittest.TestCase):
    def test_flags_by_ratio(self):
        old = {("a",): cell(1.0), ("b",): cell(1.0), ("c",): cell(1.0), ("d",): cell(1.0)}
        new = {("a",): cell(1.04), ("b",): cell(1.2), ("c",): cell(0.8),
               ("d",): cell(1.0, fits=False)}
        worse, better = compare.changes(old, new, 1.05)
        self.assertEqual(["d", "b"], [line.split(":")[0] for line in worse])
        self.assertEqual(["c"], [line.split(":")[0] for line in better])

    def test_new_and_failed_cells_are_no_regressions(self):
        worse, _ = compare.changes({("a",): cell(1.0, error="no")}, {("b",): cell(9.0)}, 1.05)
        self.assertEqual([], worse)


if __name__ == "__main__":
    unittest.main()
