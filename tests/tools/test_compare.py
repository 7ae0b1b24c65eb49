"""The tables of tools/compare on records whose answers are known, and the runner on processes that only print.

usage: test_compare.py"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "compare"))

import report  # noqa: E402
import rows  # noqa: E402
import runner  # noqa: E402

LLAMA = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 16, "vocab_size": 100}


def context(*precisions):
    return {"python": "python", "retort": "retort", "model": "model.gguf", "out": "out", "threads": 2, "layers": "0,3",
            "precisions": list(precisions), "shapes": {"8b": LLAMA, "1b": LLAMA, "smollm2": LLAMA}}


def passes(*rates):
    """What a peer prints: a line for each pass."""
    return {"documents": [{"tokens_per_second": rate, "seconds": 1000 / rate} for rate in rates]}


def bench(**fields):
    return {"documents": [fields]}


def failed(text):
    return {"error": text}


def row(**fields):
    plain = dict(name="r", title="a row", unit="rate", ours=(rows.Figure("f32", ("g/ours",), rows.rate),),
                 peers=(rows.Figure("f32", ("g/peer f32",), rows.rate), rows.Figure("bf16", ("g/peer bf16",), rows.rate)),
                 goal=(">=", 1.5))
    return rows.Row(**{**plain, **fields})


RECORDS = {
    "g/ours": [passes(180, 190, 999), passes(200), passes(1000), passes(210), passes(100)],
    "g/peer f32": [passes(100), passes(125), passes(130)],
    "g/peer bf16": [passes(40)],
}


class Results(unittest.TestCase):
    def test_median_of_rounds_of_medians_of_passes(self):
        result = report.evaluate(row(), RECORDS)
        self.assertEqual(result["retort"]["value"], 200)
        self.assertEqual(result["retort"]["candidates"][0]["values"], [190, 200, 1000, 210, 100])

    def test_ratio_to_the_best_variant(self):
        result = report.evaluate(row(), RECORDS)
        self.assertEqual((result["peer"]["label"], result["peer"]["value"]), ("f32", 125))
        self.assertEqual(result["ratio"], 1.6)
        self.assertIs(result["met"], True)
        self.assertIs(report.evaluate(row(goal=(">=", 1.61)), RECORDS)["met"], False)

    def test_less_is_better(self):
        records = {"g/ours": [passes(30)], "g/peer f32": [passes(120)], "g/peer bf16": [passes(100)]}
        result = report.evaluate(row(better="lower", goal=("<=", 0.3)), records)
        self.assertEqual((result["peer"]["label"], result["ratio"], result["met"]), ("bf16", 0.3, True))

    def test_a_peer_that_is_missing(self):
        records = {**RECORDS, "g/peer f32": [failed("no such module")], "g/peer bf16": [failed("nor this")]}
        result = report.evaluate(row(), records)
        self.assertEqual((result["ratio"], result["met"]), (None, None))
        cells = report.cells(result)
        self.assertEqual(cells[1:], ("200 tokens/s (f32)", "PyTorch: missing: no such module", "-",
                                     "ratio >= 1.5: not measured", "-"))

    def test_retort_that_is_missing(self):
        result = report.evaluate(row(), {**RECORDS, "g/ours": [failed("status 2: no bench")]})
        self.assertEqual((result["ratio"], result["met"]), (None, None))
        self.assertEqual(report.cells(result)[1], "missing: status 2: no bench")
        self.assertEqual(report.cells(report.evaluate(row(), {}))[1], "missing: not measured")

    def test_quotient_of_the_runs_of_one_round(self):
        figure = rows.Figure("f32", ("g/step", "g/forward"), rows.quotient(rows.seconds, rows.seconds))
        records = {"g/step": [bench(seconds=6), bench(seconds=5), failed("killed"), bench(seconds=9)],
                   "g/forward": [bench(seconds=3), failed("killed"), bench(seconds=1), bench(seconds=3)]}
        result = report.evaluate(row(ours=(figure,), peers=(), unit="quotient", goal=("<=", 2.4), judged="retort"), records)
        self.assertEqual(result["retort"]["candidates"][0]["values"], [2, 3])
        self.assertEqual((result["retort"]["value"], result["met"], result["ratio"]), (2.5, False, None))
        self.assertEqual(report.cells(result)[1:5], ("2.500 (f32)", "-", "-", "retort <= 2.4: missed"))

    def test_share_of_the_ceiling(self):
        share = rows.Figure("f32", ("g/ours",), rows.rate, rows.whole_share)
        records = {**RECORDS, "g/ours": [bench(tokens_per_second=1, share=s) for s in (0.93, 0.95, 0.97)]}
        result = report.evaluate(row(ours=(share,), share_goal=0.95), records)
        self.assertEqual((result["share"], result["share_met"]), (0.95, True))
        self.assertEqual(report.cells(result)[5], "0.95; >= 0.95: met")

    def test_share_of_the_body(self):
        # 2 layers of 2 (2 64 64 + 2 64 32 + 3 64 128) products and 2 64 10 of attention, 10 tokens in 2 seconds
        flops = 2 * (2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128) + 2 * 64 * 10)
        record = bench(sequences=1, sequence_length=10, phases={"forward": 2}, ceiling_gflops=flops * 10e-9)
        self.assertAlmostEqual(rows.body_share(LLAMA)(record), 0.5)

    def test_markdown(self):
        store = {"machine": {"CPU": "a|b"}, "rounds": 5, "context": {"threads": 2}}
        results = [report.evaluate(row(), {**RECORDS, "g/peer bf16": [failed("it is not there")]})]
        text = report.markdown(results, [row()], {name: [name] for name in RECORDS}, store)
        self.assertIn("| CPU | a\\|b |", text)
        self.assertIn("| r | 200 tokens/s (f32) | PyTorch: 125 tokens/s (f32) | 1.60 | ratio >= 1.5: met | - |", text)
        self.assertIn("| r | PyTorch | f32 | 125 tokens/s (100 to 130, 3 rounds) |", text)
        self.assertIn("| r | PyTorch | bf16 | missing: it is not there |", text)
        self.assertIn("g/ours\ng/peer f32\ng/peer bf16\n", text)


class Tables(unittest.TestCase):
    def test_every_figure_has_its_runs(self):
        for precisions in (("f32",), ("bf16", "f32")):
            commands, table = rows.tables(context(*precisions))
            names = [r.name for r in table]
            self.assertEqual(len(set(names)), len(names))
            used = {run for r in table for figure in (*r.ours, *r.peers) for run in figure.runs}
            self.assertEqual(used, set(commands))

    def test_the_fastest_precision_meets_the_best_of_the_peer(self):
        _, table = rows.tables(context("bf16", "f32"))
        peers = {r.name: [figure.label for figure in r.peers] for r in table}
        self.assertEqual(sorted(peers["prefill-8b-bf16"]), ["bf16", "f32"])
        self.assertEqual(peers["prefill-8b-f32"], ["f32"])
        _, table = rows.tables(context("f32"))
        self.assertNotIn("prefill-8b-bf16", [r.name for r in table])

    def test_from_a_file(self):
        commands, table = rows.tables(context("f32"))
        store = {"machine": {"CPU": "one"}, "rounds": 1, "context": context("f32"), "records": {
            "full/retort": [bench(tokens_per_second=150, share=0.5, peak_memory_bytes=1 << 30)],
            "full/pytorch f32": [bench(tokens_per_second=100, peak_memory_bytes=1 << 32)]}}
        with tempfile.TemporaryDirectory() as work:
            file, page = Path(work, "store.json"), Path(work, "page.md")
            file.write_text(json.dumps(store))
            call = [sys.executable, ROOT / "tools/compare/compare.py", "--from", file, "--only", "full", "--markdown", page]
            text = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            self.assertIn("| full-step | 150 tokens/s (f32) | PyTorch: 100 tokens/s (f32) | 1.50 | ratio >= 1.4: met | 0.50 |",
                          page.read_text())
        lines = [line.split("  ")[0] for line in text.splitlines()]
        self.assertEqual(lines, ["row", "full-step", "full-step-lean", "full-memory"])
        self.assertIn("1.00 GiB (f32)", text)

    def test_a_row_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as work:
            file = Path(work, "store.json")
            file.write_text(json.dumps({"context": context("f32"), "records": {}}))
            call = [sys.executable, ROOT / "tools/compare/compare.py", "--from", file, "--only", "prefil-8b"]
            done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no row prefil-8b; there are prefill-8b-f32, ", done.stderr)


class Runner(unittest.TestCase):
    def test_what_a_process_leaves(self):
        self.assertEqual(runner.run_once(["echo", '{"a": 1}\n{"b": 2}']), {"documents": [{"a": 1}, {"b": 2}]})
        self.assertEqual(runner.run_once(["sh", "-c", "echo first >&2; echo last >&2; echo >&2; exit 3"]),
                         {"error": "status 3: last"})
        self.assertEqual(runner.run_once(["true"]), {"error": "it printed no figure"})
        self.assertIn("other than JSON", runner.run_once(["echo", "hello"])["error"])
        self.assertIn("error", runner.run_once(["/nowhere/at/all"]))

    def test_by_turns_and_the_hopeless_once(self):
        rates = {"g/ours": 10, "g/peer f32": 8, "g/peer bf16": 3, "g/none": 1}
        commands = {name: ["echo", json.dumps({"tokens_per_second": rate})] for name, rate in rates.items()}
        commands["g/broken"] = ["false"]
        table = [row(peers=(*row().peers, rows.Figure("broken", ("g/broken",), rows.rate)))]
        records, order = {}, []
        quiet, runner.say = runner.say, lambda text: order.append(text.split(": ")[1])
        try:
            runner.measure(commands, table, 3, records, lambda: None)
        finally:
            runner.say = quiet
        self.assertEqual(order, ["g/ours", "g/peer f32", "g/peer bf16", "g/broken"] + 2 * ["g/ours", "g/peer f32"])
        self.assertEqual({name: len(r) for name, r in records.items()},
                         {"g/ours": 3, "g/peer f32": 3, "g/peer bf16": 1, "g/broken": 1})

    def test_a_run_that_another_row_needs_goes_on(self):
        slow_elsewhere = row(peers=(rows.Figure("bf16", ("g/peer bf16",), rows.rate),))
        records = {name: r[:1] for name, r in RECORDS.items()}
        self.assertNotIn("g/peer bf16", runner.contenders([row()], records))
        self.assertIn("g/peer bf16", runner.contenders([row(), dataclasses.replace(slow_elsewhere, name="s")], records))

    def test_a_figure_of_nothing_goes_on(self):
        waits = rows.Figure("f32", ("g/ours",), rows.median_of("label_wait_share"))
        records = {"g/ours": [bench(label_wait_share=0)]}
        self.assertEqual(runner.contenders([row(ours=(waits,), better="lower", peers=())], records), {"g/ours"})


if __name__ == "__main__":
    unittest.main()
