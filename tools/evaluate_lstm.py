"""Figures of a model on the calibration split, beside the last value plus its empirical rise.

    python tools/evaluate_lstm.py --model models/default/model.safetensors --calib P/calib

pinball = mean over q50, q90, q95, q99 and steps 1, 6, 12; peak_violations95 = share of origins at which the peak of the
next 30 min exceeds its q95. Streams run from their first sample to each origin, as in service.
"""

import argparse
import json
import os

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from features import WINDOW, roll, streams
from lstm_net import LEVELS, Net
from series import PEAK, STEPS, read, targets

BATCH_WINDOWS = 200_000


def origins(folder, dataset):
    """Series name -> times of its last usable samples."""
    t = pq.read_table(os.path.join(folder, f"{dataset}.origins.parquet"))
    out = {}
    for name, at in zip(t["series"].to_pylist(), t["origin"].to_numpy()):
        out.setdefault(name, []).append(at)
    return out


@torch.no_grad()
def run(net, series):
    """Quantiles in points (t, 4, 5) at every tick of every series; series of one length go together."""
    out = {}
    for length in sorted({len(s.x) for s in series}):
        same = [s for s in series if len(s.x) == length]
        step = max(1, BATCH_WINDOWS // length)
        for i in range(0, len(same), step):
            part = same[i : i + step]
            inp, stats, last, scale = (torch.from_numpy(v) for v in streams(np.stack([s.x for s in part])))
            q, _ = net(inp, stats)
            q = (last[..., None, None] + scale[..., None, None] * q).clamp(0, 100).numpy()
            out |= {s.name: v for s, v in zip(part, q)}
    return out


def last_value(x):
    """The rule to beat, on the last 144 samples: x[-1] plus quantiles of past changes; of past rises for the peak."""
    peak = roll(x[None, 1:], PEAK)[0].max(1) - x[:-PEAK]
    q = [np.quantile(peak, LEVELS)] + [np.quantile(x[h:] - x[:-h], LEVELS) for h in STEPS]
    return np.clip(x[-1] + np.array(q), 0, 100)


def figures(y, q):
    """y (n, 4), q (n, 4, 5)."""
    e = y[:, :, None] - q
    loss = np.maximum(np.array(LEVELS) * e, (np.array(LEVELS) - 1) * e)
    inside = (y[:, 1:] >= q[:, 1:, 0]) & (y[:, 1:] <= q[:, 1:, 3])
    return {
        "pinball": round(float(loss[:, 1:, 1:].mean()), 4),
        "peak_pinball95": round(float(loss[:, 0, 3].mean()), 4),
        "coverage90": round(float(inside.mean()), 4),
        "peak_violations95": round(float((y[:, 0] > q[:, 0, 3]).mean()), 4),
        "peak_over_reservation": round(float((q[:, 0, 3] - y[:, 0]).mean()), 3),
    }


def evaluate(net, by_dataset, folder):
    out = {}
    for dataset, series in by_dataset.items():
        wanted = origins(folder, dataset)
        forecasts = run(net, series)
        y, model, rule = [], [], []
        for s in series:
            index = {t: i for i, t in enumerate(s.ts)}
            actual = targets(s.x[None])[0]
            for at in wanted.get(s.name, []):
                i = index[at]
                if i + 1 < WINDOW:
                    continue
                y.append(actual[i])
                model.append(forecasts[s.name][i])
                rule.append(last_value(s.x[i + 1 - WINDOW : i + 1]))
        y, model, rule = np.array(y), np.array(model), np.array(rule)
        out[dataset] = {"origins": len(y), "model": figures(y, model), "last_value_and_rise": figures(y, rule)}
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--calib", required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    tensors = load_file(a.model)
    for group in ("cpu", "other"):
        state = {k.removeprefix(group + "."): v for k, v in tensors.items() if k.startswith(group + ".")}
        net = Net(state["lstm.weight_hh_l0"].shape[1], state["head.0.bias"].shape[0])
        net.load_state_dict(state)
        print(json.dumps(evaluate(net, read(a.calib, group), a.calib), indent=1))


if __name__ == "__main__":
    main()
