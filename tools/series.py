"""Reads the product's input files: series, ts and one value column, null = missing (see the CLI contract)."""

import glob
import os

import numpy as np
import pyarrow.parquet as pq

STEPS = (1, 6, 12)
PEAK = 6
AHEAD = 12


def points(column, v):
    """Percent stays, KB/s go to 20 log10(1 + x): the scale forecasts are made on."""
    if column.endswith("_kbs"):
        v = 20 * np.log10(1 + np.maximum(v, 0))
    return np.clip(v, 0, 100)


def held(v):
    """Missing samples repeat the last one, as the forecaster does; leading ones are cut off by the caller."""
    at = np.where(np.isnan(v), 0, np.arange(len(v)))
    return v[np.maximum.accumulate(at)]


class Series:
    """One series: values with gaps held, which of them are real, and the times."""

    def __init__(self, dataset, name, ts, v):
        first = int(np.argmax(~np.isnan(v)))
        self.dataset, self.name, self.ts = dataset, name, ts[first:]
        self.real = ~np.isnan(v[first:])
        self.x = held(v[first:]).astype(np.float32)

    def ident(self):
        """The thing that must not be trained on and shown: trace and VM, job or machine."""
        trace = self.dataset.rsplit("_", 1)[0]
        if trace == "gcd":
            return f"gcd:{self.name.split('_')[1]}"
        if trace == "planetlab":
            return "planetlab:" + "_".join(self.name.split("/")[1].split("_")[:3])
        return f"{trace}:{self.name.removeprefix('vm')}"


def read(folder, group):
    """All series of the files of a group, 'cpu' or 'other', by data set."""
    out = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.input.parquet"))):
        dataset = os.path.basename(path).split(".")[0]
        if dataset.endswith("_cpu") != (group == "cpu"):
            continue
        t = pq.read_table(path)
        column = t.column_names[2]
        name, ts = t["series"].to_numpy(), t["ts"].to_numpy()
        v = points(column, t[column].to_numpy().astype(np.float64))
        cut = np.r_[0, np.flatnonzero(name[1:] != name[:-1]) + 1, len(name)]
        rows = [(a, b) for a, b in zip(cut[:-1], cut[1:]) if not np.isnan(v[a:b]).all()]
        out[dataset] = [Series(dataset, name[a], ts[a:b], v[a:b]) for a, b in rows]
    return out


def targets(x):
    """x (n, t) -> (n, t - AHEAD, 4): the peak of the next 6 steps and steps 1, 6, 12, at ticks 0..t-AHEAD-1."""
    t = x.shape[1] - AHEAD
    peak = np.max([x[:, k : k + t] for k in range(1, PEAK + 1)], axis=0)
    return np.stack([peak] + [x[:, k : k + t] for k in STEPS], 2)


def all_real(real):
    """(n, t) -> (n, t - AHEAD): is the tick's own sample real, and all of the next hour's?"""
    t = real.shape[1] - AHEAD
    return np.min([real[:, k : k + t] for k in range(AHEAD + 1)], axis=0).astype(bool)


def fnv1a64(data):
    """A hash of text or bytes that a test can compute in five lines of any language."""
    h = 0xCBF29CE484222325
    for byte in data.encode() if isinstance(data, str) else data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"
