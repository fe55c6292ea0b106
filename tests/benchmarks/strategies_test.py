"""The benchmark of strategies reads and computes what it should; runs without a cluster."""
import json
import pathlib
import struct
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "strategies"))
import results  # noqa: E402


def line(step, seconds, link_bytes=800):
    sent = {"dispatch": 3000, "combine": 3000, "sparse_gather": 7, "sparse_reduce": 8}
    return json.dumps({
        "step": step, "loss": 5.0, "step_seconds": seconds,
        "breakdown": {"dispatch": 0.25, "host": 0.001},
        "sharded": {"planning_seconds": 0.001, "busiest_rank_rows": 1000,
                    "waited_seconds": {"dispatch": 0.125}},
        "traffic": {"sent_bytes": sent,
                    "busiest_link_bytes": {"dispatch": link_bytes, "combine": 2 * link_bytes,
                                           "all": 5 * link_bytes}}})


def npy(samples):
    header = repr({"descr": "<u2", "fortran_order": False, "shape": (samples, 1, 1, 2)}).encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            + struct.pack(f"<{2 * samples}H", *range(2 * samples)))


class Results(unittest.TestCase):
    def test_first_steps_and_evaluations_are_left_out(self):
        text = "\n".join([line(1, 9), line(2, 1), '{"step": 2, "eval_loss": 5.0}', line(3, 3)])
        self.assertEqual([2, 3], [step["step"] for step in results.read_steps(text, 1)])

    def test_medians_are_of_the_steps_given(self):
        steps = results.read_steps("\n".join(line(i, s) for i, s in enumerate((1, 5, 2))), -1)
        summary = results.summarise(steps)
        self.assertEqual(2, summary["step_seconds"])
        self.assertEqual((1, 5), (summary["fastest_seconds"], summary["slowest_seconds"]))
        self.assertEqual(2400, summary["link_bytes"])
        self.assertEqual(4000, summary["all_link_bytes"])
        self.assertEqual((7, 8), (summary["gathered_bytes"], summary["reduced_bytes"]))
        self.assertEqual(0.125, summary["waited"]["dispatch"])
        self.assertAlmostEqual(0.001, summary["planning_share"])

    def test_a_run_without_steps_is_an_error(self):
        self.assertRaises(ValueError, results.summarise, [])

    def test_ratios_need_both_runs(self):
        run = results.summarise(results.read_steps(line(1, 2), 0))
        slow = results.summarise(results.read_steps(line(1, 6, link_bytes=3200), 0))
        found = results.ratios({("fssdp", "replay"): run, ("ep", "replay"): slow})
        self.assertEqual(3, found["speedup over ep"])
        self.assertEqual(4, found["link bytes, ep / fssdp"])
        self.assertNotIn("even / replay, fssdp", found)

    def test_later_samples_keep_type_and_order(self):
        shape, width, descr, offset = results.read_npy(results.later_samples(npy(5), 3))
        self.assertEqual(((2, 1, 1, 2), 2, "<u2"), (shape, width, descr))
        self.assertEqual((6, 7, 8, 9),
                         struct.unpack("<4H", results.later_samples(npy(5), 3)[offset:]))
        self.assertRaises(ValueError, results.later_samples, npy(5), 5)

    def test_bounds_follow_from_pace_and_link(self):
        shape = {"tokens": 10, "sequence": 10, "layers": 2, "d_model": 8, "expert_hidden": 16,
                 "vocabulary": 32, "pace_gflops": 1}
        attention, head = 10 * (8 * 64 + 2 * 10 * 8), 2 * 10 * 8 * 32
        self.assertAlmostEqual(3 * (2 * attention + head + 100 * 4 * 8 * 16) / 1e9,
                               results.compute_seconds(shape, 100))
        self.assertAlmostEqual(0.008, results.link_seconds(1e6, 1))


if __name__ == "__main__":
    unittest.main()
