#!/usr/bin/env python3
"""onnxruntime's MatMulInteger, constant int8 weights, as JSON: operations per second for u8 and for s8 activations.

Inputs and outputs are bound before and not copied; activations come quantised; the result is int32.
"""

import argparse
import json
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def session(m, k, n, weights, unsigned, threads):
    kind = TensorProto.UINT8 if unsigned else TensorProto.INT8
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "matmul",
        [helper.make_tensor_value_info("a", kind, [m, k])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [m, n])],
        [numpy_helper.from_array(weights, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def prepare(args, unsigned, rng):
    """A function that runs the product once, checked against numpy."""
    weights = rng.integers(-128, 128, (args.k, args.n), dtype=np.int8)
    low, kind = (0, np.uint8) if unsigned else (-128, np.int8)
    a = rng.integers(low, low + 256, (args.m, args.k)).astype(kind)
    run = session(args.m, args.k, args.n, weights, unsigned, args.threads)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((args.m, args.n), np.int32))
    binding = run.io_binding()
    binding.bind_ortvalue_input("a", onnxruntime.OrtValue.ortvalue_from_numpy(a))
    binding.bind_ortvalue_output("y", y)
    run.run_with_iobinding(binding)
    expected = a[:2].astype(np.int32) @ weights.astype(np.int32)
    return (lambda: run.run_with_iobinding(binding)), bool(np.array_equal(y.numpy()[:2], expected))


def timed(product, seconds):
    times, started = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - started < seconds:
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("m", 128), ("k", 896), ("n", 4864), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()
    operations = 2.0 * args.m * args.k * args.n
    report = {"onnxruntime": onnxruntime.__version__, "m": args.m, "k": args.k, "n": args.n, "types": {}}
    for name, unsigned in (("u8 x s8", True), ("s8 x s8", False)):
        product, exact = prepare(args, unsigned, np.random.default_rng(1))
        times = timed(product, args.seconds)
        report["types"][name] = {"ops_per_s": operations / float(np.median(times)), "runs": len(times), "exact": exact}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
