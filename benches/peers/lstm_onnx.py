"""Speed of ONNX Runtime on the step that `lstm_bench` measures: 8 inputs, 32 units, 16,384 series, f32, no head.

    python3 lstm_onnx.py [SECONDS_PER_FIGURE]

Needs numpy, onnx and onnxruntime. Prints one JSON object. State goes from output to input by I/O binding, without a copy.
The graphs are first checked to give the same answer.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

B, I, H, WINDOWS = 16384, 8, 32, (24, 48)
rng = np.random.default_rng(1)
W = rng.uniform(-0.4, 0.4, (4 * H, I)).astype(np.float32)  # gates in the order i, o, f, c, as ONNX has them
R = rng.uniform(-0.4, 0.4, (4 * H, H)).astype(np.float32)
BIAS = rng.uniform(-0.4, 0.4, 4 * H).astype(np.float32)


def model(nodes, inputs, outputs, constants):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [value(*i) for i in inputs], [value(*o) for o in outputs],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def lstm_op(seq):
    node = helper.make_node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["", "h2", "c2"], hidden_size=H)
    state = [1, B, H]
    return model([node], [("x", [seq, B, I]), ("h", state), ("c", state)], [("h2", state), ("c2", state)],
                 {"w": W[None], "r": R[None], "b": np.concatenate([BIAS, 0 * BIAS])[None]})


def cell(gates, axis):
    """i, o, f through one sigmoid, then the cell; `gates` computes "a" [.. 4H ..] along `axis`."""
    n = helper.make_node
    return gates + [
        n("Split", ["a", "cut"], ["iof", "g"], axis=axis), n("Sigmoid", ["iof"], ["s"]), n("Tanh", ["g"], ["t"]),
        n("Split", ["s", "thirds"], ["i", "o", "f"], axis=axis), n("Mul", ["f", "c"], ["fc"]), n("Mul", ["i", "t"], ["ig"]),
        n("Add", ["fc", "ig"], ["c2"]), n("Tanh", ["c2"], ["tc"]), n("Mul", ["o", "tc"], ["h2"])]


def gemm_graphs():
    n = helper.make_node
    cuts = {"cut": np.array([3 * H, H]), "thirds": np.array([H] * 3)}
    rows = [("x", [B, I]), ("h", [B, H]), ("c", [B, H])], [("h2", [B, H]), ("c2", [B, H])]
    columns = [("x", [I, B]), ("h", [H, B]), ("c", [H, B])], [("h2", [H, B]), ("c2", [H, B])]
    both = np.ascontiguousarray(np.hstack([W, R]))
    yield "two Gemm, series in rows", model(cell(
        [n("Gemm", ["x", "w", "b"], ["xa"]), n("Gemm", ["h", "r", "xa"], ["a"])], 1), *rows,
        cuts | {"w": np.ascontiguousarray(W.T), "r": np.ascontiguousarray(R.T), "b": BIAS}), False
    yield "Concat and one Gemm, series in rows", model(cell(
        [n("Concat", ["x", "h"], ["v"], axis=1), n("Gemm", ["v", "w", "b"], ["a"])], 1), *rows,
        cuts | {"w": np.ascontiguousarray(both.T), "b": BIAS}), False
    yield "Concat and one Gemm, series in columns", model(cell(
        [n("Concat", ["x", "h"], ["v"], axis=0), n("Gemm", ["w", "v", "b"], ["a"])], 0), *columns,
        cuts | {"w": both, "b": BIAS[:, None]}), True


class Run:
    def __init__(self, proto, x, h, c, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
        # An OrtValue is the array's own memory: each gets an array of its own, which must stay alive.
        self.arrays = [np.array(v, order="C") for v in (x, h, c, h, c)]
        self.x, *state = [ort.OrtValue.ortvalue_from_numpy(v) for v in self.arrays]
        self.state, self.other = state[:2], state[2:]

    def bind(self):
        b = self.session.io_binding()
        b.bind_ortvalue_input("x", self.x)
        for name, v in zip("hc", self.state):
            b.bind_ortvalue_input(name, v)
        for name, v in zip(("h2", "c2"), self.other):
            b.bind_ortvalue_output(name, v)
        self.state, self.other = self.other, self.state
        return b

    def tick(self):
        self.session.run_with_iobinding(self.bind())

    def time(self, seconds, swap=True):
        """Best and mean CPU seconds of a tick; the two bindings are made once."""
        bindings = [self.bind(), self.bind()]
        best, n = float("inf"), 0
        cpu, start = time.process_time(), time.perf_counter()
        while time.perf_counter() - start < seconds:
            binding = bindings[n % 2 if swap else 0]
            t = time.perf_counter()
            self.session.run_with_iobinding(binding)
            best = min(best, time.perf_counter() - t)
            n += 1
        return best, (time.process_time() - cpu) / n


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    x = rng.uniform(-3, 3, (B, I)).astype(np.float32)
    h = rng.uniform(-1, 1, (B, H)).astype(np.float32)
    c = rng.uniform(-2, 2, (B, H)).astype(np.float32)
    results = []

    def add(case, threads, timed):
        results.append({"case": case, "threads": threads, "best_ms": round(timed[0] * 1e3, 4),
                        "cpu_ms_per_thread": round(timed[1] * 1e3 / threads, 4)})

    for threads in (1, 2):
        op = Run(lstm_op(1), x[None], h[None], c[None], threads)
        op.tick()
        want = [np.array(v.numpy()[0]) for v in op.state]
        add("LSTM op, one step", threads, op.time(seconds))
        for name, proto, columns in gemm_graphs():
            run = Run(proto, *(v.T if columns else v for v in (x, h, c)), threads)
            run.tick()
            for got, right in zip(run.state, want):
                got = got.numpy().T if columns else got.numpy()
                assert np.abs(got - right).max() < 1e-5, f"{name} computes something else"
            add(name, threads, run.time(seconds))
        for length in WINDOWS:
            window = Run(lstm_op(length), np.repeat(x[None], length, 0), 0 * h[None], 0 * c[None], threads)
            add(f"LSTM op, window of {length}", threads, window.time(seconds, swap=False))
    print(json.dumps({"onnxruntime": ort.__version__, "series": B, "results": results}, indent=1))


main()
