#!/usr/bin/env python3
"""rkllm and llama.cpp on one model shape, interleaved, as ratios.

Machines drift and are shared, so only ratios from one run count. Make the inputs once:

    random_checkpoint.py qwen2.5-0.5b q05
    rkllm convert q05 --dtype w8a8 -o q05-w8a8
    make_gguf.py q05 q05.gguf && llama-quantize q05.gguf q05-q8_0.gguf Q8_0

(llama.cpp lies in the llama-cpp-python sdist on PyPI, folder vendor/llama.cpp; build the targets
llama-bench and llama-quantize with -DGGML_NATIVE=ON.) Then, with nothing else running:

    side_by_side.py --rkllm target/release/rkllm --artifact q05-w8a8 \\
        --llama-bench llama-bench --gguf q05-q8_0.gguf
"""

import argparse
import json
import os
import statistics
import subprocess


def ours(args):
    command = [args.rkllm, "bench", args.artifact, "--prompt", str(args.prompt), "--generate",
               str(args.generate), "--threads", str(args.threads), "--repeat", "3", "--json", "--quiet"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["prefill_tokens_per_s"], result["decode_tokens_per_s"], result["kernel"]


def theirs(args):
    command = [args.llama_bench, "-m", args.gguf, "-p", str(args.prompt), "-n", str(args.generate),
               "-t", str(args.threads), "-r", "3", "-o", "json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    speed = {row["n_gen"] > 0: statistics.median(row["samples_ts"]) for row in rows}
    return speed[False], speed[True]


def spread(values):
    return f"{statistics.median(values):8.1f} ({min(values):.1f} to {max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rkllm", required=True)
    parser.add_argument("--artifact", required=True)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rounds, kernel = [], ""
    for number in range(args.rounds):
        prefill, decode, kernel = ours(args)
        rounds.append((prefill, decode, *theirs(args)))
        print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}, ratios prefill "
              f"{rounds[-1][0] / rounds[-1][2]:.2f} decode {rounds[-1][1] / rounds[-1][3]:.2f}", flush=True)
    columns = list(zip(*rounds))
    print(f"{args.threads} threads, kernel {kernel}, tokens/s, median (min to max) of {args.rounds} rounds of 3")
    for name, mine, peer in (("prefill", 0, 2), ("decode", 1, 3)):
        ratio = statistics.median(row[mine] / row[peer] for row in rounds)
        print(f"{name:8} rkllm {spread(columns[mine])}  llama.cpp {spread(columns[peer])}  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
