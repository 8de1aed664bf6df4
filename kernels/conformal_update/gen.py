"""Writes vectors/edges.json: lanes of the quantile tracker with the answers of NumPy in float64, independent of the Rust
reference. Run it here: python3 gen.py. One row per lane; an outcome of null is not known."""

import json
from pathlib import Path

import numpy as np

F = np.float32
LEVELS = np.array([0.05, 0.5, 0.9, 0.95, 0.99], F).astype(np.float64)


def answer(tuning, y, issued, scale, base, shift):
    gamma, tie, reach, floor = (float(F(t)) for t in tuning)
    y, scale = y[:, None], scale[:, None]
    above = y - issued
    moves = ~np.isnan(y) & (np.abs(above) > tie * scale) & (np.arange(5) != 1)
    moved = np.clip(shift + gamma * ((above > 0) - (1 - LEVELS)), -reach, reach)
    after = np.where(moves, moved, shift)
    raw = base + after * scale
    ordered = np.maximum(raw, floor)
    ordered[:, 0] = np.minimum(ordered[:, 0], ordered[:, 1])
    ordered[:, 2:] = np.sort(np.maximum(ordered[:, 2:], ordered[:, 1:2]), axis=1)
    return after, raw, ordered


def lanes():
    """name, y, issued, scale, base, shift"""
    plain = [1.0, 2.0, 3.0, 4.0, 5.0]
    none = [0.0] * 5
    yield "below all", 0.5, plain, 1.0, plain, none
    yield "between", 3.5, plain, 1.0, plain, none
    yield "above all", 9.0, plain, 2.0, plain, none
    yield "not known", None, plain, 1.0, plain, [0.5, 0.0, -0.5, 0.25, 1.0]
    yield "on a bound", 3.0, plain, 1.0, plain, none
    yield "a little above a bound, within a tie", 3.00005, plain, 1.0, plain, none
    yield "a little below a bound, beyond a tie", 2.9998, plain, 1.0, plain, none
    yield "a tie grows with the scale", 3.0625, plain, 1024.0, plain, none
    yield "idle and forecast exactly", 0.0, none, 0.5, none, none
    yield "shifts at their limit", 9.0, plain, 1.0, plain, [4.0, 0.0, 4.0, 4.0, 4.0]
    yield "shifts at their other limit", 0.0, plain, 1.0, plain, [-4.0, 0.0, -4.0, -4.0, -4.0]
    yield "crossed", None, plain, 1.0, [3.0, 2.0, 1.0, 9.0, 8.0], none
    yield "crossed the other way", None, plain, 1.0, [1.0, 2.0, 9.0, 8.0, 7.0], none
    yield "below the floor", None, plain, 1.0, [-3.0, -1.0, 1.0, 2.0, 3.0], none
    yield "all below the floor", None, plain, 1.0, [-3.0, -2.0, -1.5, -1.25, -1.0], none
    yield "shifted below the floor", None, plain, 2.0, [1.0, 2.0, 3.0, 4.0, 5.0], [-2.0, 0.0, -2.0, -3.0, -4.0]
    yield "the median is not shifted by an outcome", 100.0, plain, 1.0, plain, [0.0, 0.75, 0.0, 0.0, 0.0]
    yield "bytes", 3.0e10, [1e10, 2e10, 2.5e10, 2.8e10, 4e10], 1e9, [1e10, 2e10, 2.5e10, 2.8e10, 4e10], [0.1] * 5


def vectors():
    rows = list(lanes())
    column = lambda i: np.array([np.nan if r[i] is None else r[i] for r in rows], F).astype(np.float64)
    table = lambda i: np.array([r[i] for r in rows], F).astype(np.float64)
    y, issued, scale, base, shift = column(1), table(2), column(3), table(4), table(5)
    for tuning in ([0.0625, 1e-4, 4.0, 0.0], [0.02, 0.0, 0.5, -2.0]):
        after, raw, ordered = answer(tuning, y, issued, scale, base, shift)
        yield {"tuning": [float(F(t)) for t in tuning], "lanes": [
            {"name": r[0], "y": None if np.isnan(y[i]) else y[i], "issued": issued[i].tolist(), "scale": scale[i],
             "base": base[i].tolist(), "shift": shift[i].tolist(), "shift_out": after[i].tolist(),
             "raw": raw[i].tolist(), "ordered": ordered[i].tolist()} for i, r in enumerate(rows)]}


if __name__ == "__main__":
    to = Path(__file__).with_name("vectors") / "edges.json"
    dump = lambda v: json.dumps(v, separators=(",", ":"))
    parts = ['{"tuning":%s,"lanes":[\n%s\n]}' % (dump(c["tuning"]), ",\n".join(map(dump, c["lanes"]))) for c in vectors()]
    to.write_text("[\n" + ",\n".join(parts) + "\n]\n")
