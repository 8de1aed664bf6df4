"""Writes vectors/edges.json: small LSTM ticks with the answers of NumPy in float64, independent of the Rust reference.

    python3 gen.py           writes the vectors
    python3 gen.py --tanh    fits the quotient that every device uses for tanh and prints its coefficients

In a lane null stands for NaN; a case has one weight set and its lanes.
"""

import json
import sys
from pathlib import Path

import numpy as np

F = np.float32
STEP, RESET = 1, 2


def sigmoid(v):
    return np.where(v >= 0, 1 / (1 + np.exp(-np.abs(v))), np.exp(-np.abs(v)) / (1 + np.exp(-np.abs(v))))


def tick(case, lane):
    """State and quantiles of a lane after the tick, by matrices over whole layers as PyTorch does it."""
    n = case["hidden"]
    h, c = (np.asarray(lane[k], np.float64).reshape(case["layers"], n).copy() for k in "hc")
    if lane["mode"] & RESET:
        h[:], c[:] = 0, 0
    q = np.zeros(20 if case["head"] else 0)
    if lane["mode"] & STEP:
        v = np.asarray(lane["x"], np.float64)
        for i, w in enumerate(case["weights"]):
            a = np.asarray(w["w_ih"]).reshape(4 * n, -1) @ v + np.asarray(w["w_hh"]).reshape(4 * n, n) @ h[i]
            a += np.asarray(w["b_ih"]) + np.asarray(w["b_hh"])
            at, forget, cell, emit = np.split(a, 4)
            c[i] = sigmoid(forget) * c[i] + sigmoid(at) * np.tanh(cell)
            h[i] = sigmoid(emit) * np.tanh(c[i])
            v = h[i]
        if case["head"]:
            q = head(case["head"], np.concatenate([v, np.asarray(lane["stats"], np.float64)]))
    return {"h": h.ravel().tolist(), "c": c.ravel().tolist(), "q": q.tolist()}


def head(w, v):
    z = np.maximum(np.asarray(w["w1"]).reshape(w["width"], -1) @ v + np.asarray(w["b1"]), 0)
    r = (np.asarray(w["w2"]).reshape(20, -1) @ z + np.asarray(w["b2"])).reshape(4, 5)
    up = np.logaddexp(0, r)
    return np.column_stack([r[:, 1] - up[:, 0], r[:, 1], r[:, 1:2] + np.cumsum(up[:, 2:], axis=1)]).ravel()


def small(rng, *shape, scale=0.6):
    return (rng.uniform(-scale, scale, shape).astype(F)).astype(float).ravel().tolist()


def case(name, lanes, input=2, hidden=3, layers=1, stats=0, width=0, scale=0.6, seed=1, **fixed):
    rng = np.random.default_rng(seed)
    weights = []
    for i in range(layers):
        inputs = hidden if i else input
        w = {"input": inputs, "w_ih": small(rng, 4 * hidden, inputs, scale=scale),
             "w_hh": small(rng, 4 * hidden, hidden, scale=scale), "b_ih": small(rng, 4 * hidden),
             "b_hh": small(rng, 4 * hidden)}
        weights.append(w | {k: [v] * len(w[k]) for k, v in fixed.items()})
    top = None
    if width:
        top = {"width": width, "w1": small(rng, width, hidden + stats), "b1": small(rng, width),
               "w2": small(rng, 20, width), "b2": small(rng, 20)}
    c = {"name": name, "input": input, "hidden": hidden, "layers": layers, "stats": stats, "weights": weights,
         "head": top, "lanes": []}
    for lane in lanes:
        full = {"mode": STEP, "x": small(rng, input, scale=3), "stats": small(rng, stats, scale=3),
                "h": small(rng, layers * hidden, scale=1), "c": small(rng, layers * hidden, scale=2)} | lane
        answer = tick(c, full)
        full["x"] = [None if np.isnan(v) else v for v in full["x"]]
        c["lanes"].append(full | {"after": answer})
    return c


def edges():
    nan = float("nan")
    modes = [{"mode": m} for m in (STEP, 0, RESET, STEP | RESET)]
    yield case("one lane", [{}])
    yield case("one unit, one input", [{}, {"h": [0.0], "c": [0.0]}], input=1, hidden=1)
    yield case("step, hold, reset, both", modes)
    yield case("two layers: the second reads the new h of the first", modes, layers=2, seed=2)
    yield case("a head of five after two layers", modes, layers=2, stats=2, width=5, seed=3)
    yield case("a head without a statistic worth anything", [{"stats": [0.0]}], stats=1, width=4, seed=4)
    yield case("NaN in a lane that holds", [{"mode": 0, "x": [nan, nan]}, {}, {"mode": RESET, "x": [nan, 1.0]}], seed=5)
    yield case("gates saturated by their inputs, either way",
               [{"x": [1e4, 1e4]}, {"x": [-1e4, -1e4]}, {"x": [1e4, -1e4]}], scale=5.0, seed=6)
    yield case("gates shut: the cell forgets all and emits nothing", [{}, {"c": [9.0] * 3}], b_ih=-1e4, seed=7)
    yield case("gates open: the cell adds one and emits all", [{"c": [0.0] * 3}, {"c": [30.0] * 3}], b_ih=1e4, seed=8)
    yield case("everything zero", [{"x": [0.0] * 2, "h": [0.0] * 3, "c": [0.0] * 3}], w_ih=0.0, w_hh=0.0, b_ih=0.0, b_hh=0.0)
    yield case("the smallest numbers",
               [{"x": [1e-38, -1e-38], "h": [1e-40, 0.0, -1e-40], "c": [1e-40, -1e-45, 0.0]}], seed=9)
    yield case("softplus far out on both sides", [{"stats": [s]} for s in (-200.0, 200.0, 0.0)], stats=1, width=6, seed=10)


def fit(limit=7.9, m=3, n=4):
    """x p(x^2) / q(x^2) on [0, limit], p of degree m and q of degree n with q(0) = 1, for the least largest error: least
    squares, weighted again and again by how large the error was."""
    t = np.cos(np.linspace(0, np.pi, 4001)) * 0.5 + 0.5
    x = np.unique(np.concatenate([t[t > 0] * limit, np.linspace(1e-3, 1, 500)]))
    y, f = (x / limit) ** 2, np.tanh(x)
    weight, scale, best = np.ones_like(x), np.ones_like(x), (1.0, None)
    for _ in range(400):
        a = np.stack([x * y**k for k in range(m + 1)] + [-f * y**k for k in range(1, n + 1)], 1)
        s = np.sqrt(weight) / scale
        k = np.linalg.lstsq(a * s[:, None], f * s, rcond=None)[0]
        scale = 1 + sum(k[m + i] * y**i for i in range(1, n + 1))
        error = np.abs(x * sum(k[i] * y**i for i in range(m + 1)) / scale - f)
        if error.max() < best[0]:
            best = (error.max(), k * [limit ** (-2 * i) for i in [*range(m + 1), *range(1, n + 1)]])
        weight = weight * (error / error.max() + 1e-3) ** 0.5
        weight /= weight.mean()
    print(f"largest error {best[0]:.3e} before rounding")
    print("p, highest first:", [str(F(v)) for v in best[1][m::-1]])
    print("q, highest first:", [str(F(v)) for v in best[1][:m:-1]] + ["1"])


if __name__ == "__main__":
    if "--tanh" in sys.argv:
        fit()
    else:
        text = ",\n".join(json.dumps(c) for c in edges())
        (Path(__file__).parent / "vectors/edges.json").write_text(f"[\n{text}\n]\n")
