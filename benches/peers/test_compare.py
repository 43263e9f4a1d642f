#!/usr/bin/env python3
"""What of the comparison can be checked without a build: `python3 benches/peers/test_compare.py`."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

import models
import table
import tools
from measure import Samples, rounds


class Rounds(unittest.TestCase):
    def test_both_sides_take_turns_and_change_ends(self):
        calls = []
        found = rounds(3, "test", {"a": lambda: calls.append("a") or 6.0, "b": lambda: calls.append("b") or {"b": 2.0, "c": 3.0}})
        self.assertEqual("".join(calls), "abbaab")
        self.assertEqual(found["a"].over(found["b"]).values, [3.0] * 3)
        self.assertEqual(found["c"].median, 3.0)

    def test_ratios_are_of_one_round(self):
        ours, theirs = Samples([10, 40, 20]), Samples([5, 10, 20])
        self.assertEqual(ours.over(theirs).median, 2.0)
        self.assertEqual(ours.over(theirs).spread, (1.0, 4.0))


class Table(unittest.TestCase):
    def row(self, name, scheme, *values):
        return table.Row(name, scheme, Samples(values), {"rkllm tok/s": Samples([120.0])})

    def test_verdicts(self):
        decode = "qwen2.5-0.5b decode 64, ratio"
        self.assertEqual(self.row(decode, "w8a8", 1.0, 1.15, 1.2).verdict(True), "pass")
        self.assertEqual(self.row(decode, "w8a8", 1.14).verdict(True), "NOT")
        self.assertEqual(self.row(decode, "w4a16_g128", 1.14).verdict(True), "pass")
        self.assertEqual(self.row(decode, "w8a8", 9.0).verdict(False), "no AMX here")
        self.assertEqual(self.row("qwen2.5-0.5b prefill 512 without AMX, ratio", "w8a8", 2.9).verdict(False), "NOT")
        self.assertEqual(self.row("qwen2.5-0.5b first token, ratio of times", "w8a8", 0.6).verdict(True), "NOT")
        self.assertEqual(self.row("qwen2.5-1.5b decode 64, ratio", "w8a8", 1.0).verdict(True), "no bar")

    def test_the_table_shows_bar_median_and_spread(self):
        text = table.show([self.row("qwen2.5-0.5b decode 64, ratio", "w8a8", 1.0, 2.0, 1.5)], True)
        for word in (">= 1.15", "1.50", "1.00 to 2.00", "pass", "rkllm tok/s 120", "1 pass, 0 not, 1 rows"):
            self.assertIn(word, text)


class Sizes(unittest.TestCase):
    CONFIG = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
              "num_key_value_heads": 2}

    def test_weights_read_per_token_and_cache(self):
        with tempfile.TemporaryDirectory() as folder:
            model = models.Model("qwen2.5-0.5b", "w8a8", Path(folder))
            model.artifact.mkdir()
            (model.artifact / "config.json").write_text(json.dumps(self.CONFIG))
            header = json.dumps({
                "__metadata__": {"format": "pt"},
                "model.embed_tokens.weight": {"dtype": "F16", "shape": [8, 2], "data_offsets": [0, 32]},
                "lm_head.weight": {"dtype": "I8", "shape": [8, 2], "data_offsets": [32, 48]},
            }).encode()
            (model.artifact / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(48))
            self.assertEqual(model.decode_bytes(), 16)
            self.assertEqual(model.kv_bytes(8192), 8192 * 24 * 2 * 2 * 64 * 2)
            # The 494 million parameters but the embedding's 136 million, the biases and the norms.
            self.assertEqual(model.macs(), 357_826_560)


class Barrier(unittest.TestCase):
    def test_it_goes_before_the_load_or_is_missed_aloud(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ggml/src/ggml-cpu/amx/mmq.cpp"
            path.parent.mkdir(parents=True)
            path.write_text("    tc.rows[7] = 16;\n\n" + tools.LOAD_CONFIG + "    done = true;\n")
            tools.keep_tile_configuration(Path(folder))
            self.assertIn(tools.BARRIER + tools.LOAD_CONFIG, path.read_text())
            path.write_text("nothing of the kind\n")
            with self.assertRaises(SystemExit):
                tools.keep_tile_configuration(Path(folder))


if __name__ == "__main__":
    unittest.main()
