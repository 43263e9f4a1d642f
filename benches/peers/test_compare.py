#!/usr/bin/env python3
"""What of the comparison can be checked without a build: `python3 benches/peers/test_compare.py`."""

import array
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

import compare
import models
import plan
import processes
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
            # The 494 million parameters but the embedding's 136 million, the biases, the norms, and what a prompt
            # needs of the last layer for its last token alone.
            self.assertEqual(model.macs(), 357_826_560 - 896 * (896 + 3 * 4864))


def planned(amx, *options):
    """Rows and commands of a run in which nothing runs."""
    args = compare.arguments(["--work", "/tmp/none", "--rounds", "2", "--long-rounds", "1", *options])
    before, processes.current = processes.current, plan.Plan(amx, show=lambda line: None)
    try:
        environment = tools.Environment(args.work)
        peers = {with_amx: plan.peer(args, with_amx) for with_amx in (True, False)}
        ours = compare.Ours("rkllm", "bench-gemm", args.threads, args.kernel)
        comparison = compare.Comparison(args, environment, ours, peers[True] if amx else None, peers[False])
        rows = list(compare.steps_of(comparison, plan.planned_models(args)))
        return rows, processes.current.commands
    finally:
        processes.current = before


class EveryStep(unittest.TestCase):
    """The steps run on recorded answers, as on a processor with AMX and on one without."""

    def test_every_bar_is_judged_where_there_is_amx(self):
        rows, _ = planned(True)
        verdicts = {(row.name, row.scheme): row.verdict(True) for row in rows}
        for name in table.BARS:
            for scheme in table.SCHEMES:
                self.assertIn(verdicts.get((name, scheme)), ("pass", "NOT"), (name, scheme))
        text = table.show(rows, True)
        for word in ("products 90.0%", "head 25.0%", "peak 11500 GOP/s", "read 30.0 GB/s"):
            self.assertIn(word, text)

    def test_without_amx_neither_side_has_it(self):
        rows, commands = planned(True, "--only", "noamx")
        ours = [command for command in commands if "rkllm bench /" in command]
        theirs = [command for command in commands if "llama-bench" in command]
        self.assertTrue(ours and all(command.startswith("RKLLM_KERNEL=avx512vnni ") for command in ours), ours)
        self.assertTrue(theirs and all("/no-amx/llama-bench" in command for command in theirs), theirs)
        # 1690 GOP/s of AVX-512 VNNI, not AMX's peak: 300 tokens of 350 million, one product and two.
        self.assertEqual([round(row.limit.median, 4) for row in rows], [round(300 * 0.7e9 / 1.69e12, 4), round(300 * 1.4e9 / 1.69e12, 4)])
        # A kernel that is asked for is AMX's only where AMX is compared.
        for kernel, used in (("amx", "avx512vnni"), ("avx2", "avx2")):
            _, commands = planned(True, "--only", "noamx", "--kernel", kernel)
            ours = [command for command in commands if "rkllm bench /" in command]
            self.assertTrue(all(command.startswith(f"RKLLM_KERNEL={used} ") for command in ours), ours)

    def test_with_amx_the_peer_has_it(self):
        _, commands = planned(True, "--only", "decode,depth,prefill,long,load")
        theirs = [command for command in commands if "llama-bench" in command or "first_token" in command]
        self.assertTrue(all("/amx/" in command for command in theirs), theirs)

    def test_decode_is_without_and_prefill_with_flash_attention(self):
        for step, flags in (("decode", "-p 0 -n 64 -d 0 -fa off"), ("depth", "-p 0 -n 32 -d 1024 -fa off"),
                            ("prefill", "-p 512 -n 0 -fa on"), ("long", "-p 8192 -n 0 -fa on --no-warmup")):
            _, commands = planned(True, "--only", step)
            theirs = [command for command in commands if "llama-bench" in command]
            self.assertTrue(theirs and all(flags in command for command in theirs), (step, theirs))

    def test_memory_is_flat_but_for_the_cache(self):
        rows, _ = planned(True, "--only", "long")
        flat = [row for row in rows if "anonymous" in row.name]
        self.assertEqual([row.seen.median for row in flat], [0.0, 0.0])

    def test_every_shape_and_fewer_layers(self):
        rows, commands = planned(True, "--only", "decode,prefill", "--models", ",".join(compare.SHAPES), "--layers", "2")
        self.assertEqual(len(rows), 4 * 2 * 3)
        self.assertTrue(all(row.bar is None for row in rows), "a shape with other layers has no bar")
        self.assertTrue(any("phi-3-mini-2l-w8a8" in command for command in commands))

    def test_a_processor_without_amx_compares_with_the_build_without(self):
        rows, commands = planned(False)
        self.assertTrue(all("/amx/" not in command for command in commands))
        self.assertTrue(any(row.verdict(False) == "no AMX here" for row in rows))

    def test_a_step_that_fails_costs_no_other(self):
        class Broken(plan.Plan):
            def answer(self, command):
                if "llama-bench" in command[0] and "1024" in command:
                    raise SystemExit("compare.py: llama-bench failed")
                return super().answer(command)
        before, plan.Plan = plan.Plan, Broken
        try:
            rows, _ = planned(True, "--only", "depth,prefill")
        finally:
            plan.Plan = before
        self.assertEqual(len(rows), 4)
        self.assertTrue(all("prefill" in row.name for row in rows))

    def test_what_the_system_does_not_say_passes_no_bar(self):
        name = "qwen2.5-0.5b peak memory over the artifact, MB"
        self.assertEqual(table.Row(name, "w8a8", Samples([float("nan")]), {}).verdict(True), "NOT")

    def test_a_unit_without_a_figure_leaves_its_share_out(self):
        class Unknown(plan.Plan):
            def limits(self, size):
                found = super().limits(size)
                for kernel in found["kernels"]:
                    kernel["peak_gmacs_per_s"] = None
                return found
        before, plan.Plan = plan.Plan, Unknown
        try:
            rows, _ = planned(True, "--only", "prefill,gemm")
        finally:
            plan.Plan = before
        self.assertTrue(rows and all(row.limit is None for row in rows))
        self.assertIn("prefill 512, ratio", table.show(rows, True))


class Peer(unittest.TestCase):
    def test_only_amx_tells_the_builds_apart(self):
        options = {amx: tools.cpu_options(amx, "sapphirerapids") for amx in (True, False)}
        self.assertEqual(options[True]["PEER_CPU_FLAGS"], "-march=sapphirerapids")
        self.assertEqual(options[False]["PEER_CPU_FLAGS"], "-march=sapphirerapids;-mno-amx-tile;-mno-amx-int8;-mno-amx-bf16")
        self.assertEqual(tools.cpu_options(True, None), {"GGML_NATIVE": "ON", "PEER_CPU_FLAGS": ""})

    def verify(self, said, ours, theirs, code=0, without=""):
        class Answers(processes.Processes):
            def tried(self, command):
                return (code, said) if "/amx/" in command[0] else (0, without)

            def output(self, command, environment):
                values = ours if "/amx/" in command[0] else theirs
                Path(command[3]).write_bytes(array.array("f", values).tobytes())

        before, processes.current = processes.current, Answers()
        try:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                peers = [tools.LlamaCpp(work / "build-0/peer" / name, name == "amx") for name in ("amx", "no-amx")]
                return tools.verify(*peers, work / "m.gguf", 2, work)
        finally:
            processes.current = before

    BUFFERS = "load_tensors:          CPU model buffer size =   137.94 MiB\nload_tensors:          AMX model buffer size =   500.00 MiB\n"

    def test_a_build_that_computes_is_taken(self):
        self.assertEqual(self.verify(self.BUFFERS, [1.0, 2.0, -3.0], [1.0, 2.0, -3.01]), "0.999999")

    def test_a_build_that_crashes_or_computes_something_else_is_refused(self):
        nan = float("nan")
        for said, ours, code in ((self.BUFFERS, [1.0, 2.0], -11), (self.BUFFERS, [2.0, -1.0], 0), (self.BUFFERS, [nan, 1.0], 0),
                                 (self.BUFFERS, [0.0, 0.0], 0), (self.BUFFERS.replace("AMX", "CPU_REPACK"), [1.0, 2.0], 0)):
            with self.assertRaises(SystemExit):
                self.verify(said, ours, [1.0, 2.0], code)

    def test_a_build_without_amx_that_has_it_is_refused(self):
        with self.assertRaises(SystemExit):
            self.verify(self.BUFFERS, [1.0, 2.0], [1.0, 2.0], without=self.BUFFERS)

    # ggml's, by gcc 12.2 with the barrier: zeros, palette, rows, columns.
    WHOLE = """   27f28:\tvmovdqa64 %zmm0,0xc0(%rsp)
   27f30:\tmov    0x0(%rip),%rax        # 27f37
   27f37:\tvmovdqa 0x0(%rip),%xmm0        # 27f3f
   27f3f:\tmovb   $0x1,0xc0(%rsp)
   27f47:\tmov    %rax,0xf0(%rsp)
   27f4f:\tvmovdqa %xmm0,0xd0(%rsp)
   27f58:\tldtilecfg 0xc0(%rsp)
"""

    def test_stores_into_the_tile_configuration_are_counted(self):
        self.assertEqual(tools.tile_stores(self.WHOLE), [4])
        dropped = [line for line in self.WHOLE.splitlines(True) if ",0xf0(" not in line and ",0xd0(" not in line]
        self.assertEqual(tools.tile_stores("".join(dropped)), [2])
        self.assertEqual(tools.tile_stores("  1:\tmov    %eax,0x3c(%rsp)\n  2:\tmov    %rax,0x40(%rbp)\n  3:\tldtilecfg 0x40(%rsp)\n"), [0])


class SameModel(unittest.TestCase):
    """Both engines must have been given one model: a wrong key in the GGUF shows in its logits."""

    def agreement(self, theirs, scheme="w8a8"):
        class Answers(processes.Processes):
            def output(self, command, environment):
                if "logits" not in command:
                    return Path(command[3]).write_bytes(array.array("f", theirs).tobytes())
                header = json.dumps({"logits": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
                values = array.array("f", [9.0, 9.0, 1.0, -2.0]).tobytes()
                Path(command[-1]).write_bytes(len(header).to_bytes(8, "little") + header + values)

        before, processes.current = processes.current, Answers()
        try:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                peer = tools.LlamaCpp(work, False)
                return tools.same_model("rkllm", peer, models.Model("tinyllama-1.1b", scheme, work), 2, work)
        finally:
            processes.current = before

    def test_the_last_tokens_logits_are_compared(self):
        self.assertEqual(self.agreement([2.0, -4.0]), 1.0)
        self.assertEqual(self.agreement([1.0, -1.0], "w4a16_g128"), 0.9487)
        for theirs in ([2.0, 1.0], [1.0, -1.0], [float("nan"), 1.0]):
            with self.assertRaises(SystemExit):
                self.agreement(theirs)


class Flags(unittest.TestCase):
    def test_the_processors_flags_can_be_given_or_it_is_missed_aloud(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ggml/src/ggml-cpu/CMakeLists.txt"
            path.parent.mkdir(parents=True)
            path.write_text(tools.CPU_FLAGS + "\n")
            tools.open_flags(Path(folder))
            self.assertEqual(path.read_text(), "    target_compile_options(${GGML_CPU_NAME} PRIVATE ${ARCH_FLAGS} ${PEER_CPU_FLAGS})\n")
            with self.assertRaises(SystemExit):
                tools.open_flags(Path(folder))


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
