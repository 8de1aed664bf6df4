"""Table of M4 hourly: figures of every method on the test part. Arguments: series.parquet, ours.parquet, then NAME=FILE.npz of peers.

sMAPE is the competition's (0 to 200 %). MASE, width and interval score (Gneiting and Raftery 2007, alpha 0.1) are in units of the mean
absolute difference of one day within the training part. Ratios are ours over the peer's on the peer's own series, with a 95 % bootstrap
interval over series (1,000 resamples, seed 1)."""

import sys

import numpy as np
import pyarrow.parquet as pq


def figures(y, scale, mean, lo, hi):
    """Per series: sMAPE, MASE, coverage, width, interval score."""
    scale = scale[:, None]
    below, above = np.maximum(lo - y, 0), np.maximum(y - hi, 0)
    return np.stack([
        (200 * np.abs(y - mean) / (np.abs(y) + np.abs(mean))).mean(1),
        (np.abs(y - mean) / scale).mean(1),
        ((y >= lo) & (y <= hi)).mean(1),
        ((hi - lo) / scale).mean(1),
        ((hi - lo + 20 * below + 20 * above) / scale).mean(1),
    ], 1)


def ratio(ours, peer, rng):
    draws = rng.integers(0, len(ours), (1000, len(ours)))
    low, high = np.percentile(ours[draws].mean(1) / peer[draws].mean(1), [2.5, 97.5])
    return f"{ours.mean() / peer.mean():.3f} [{low:.3f}, {high:.3f}]"


def main():
    table = pq.read_table(sys.argv[1])
    train = [np.asarray(t, float) for t in table["train"].to_pylist()]
    y = np.array(table["test"].to_pylist(), float)
    scale = np.array([np.abs(t[24:] - t[:-24]).mean() for t in train])
    q = [np.array(pq.read_table(sys.argv[2])[c].to_pylist(), float) for c in ("q50", "q05", "q95")]
    ours = figures(y, scale, *q)
    print(f"{'':20} series   sMAPE   MASE  coverage90  width90  interval score   processor s/series  ratio of sMAPE         ratio of MASE          ratio of interval score")
    row = lambda name, f, cpu, rest: print(f"{name:20} {len(f):6d} {f[:, 0].mean():7.3f} {f[:, 1].mean():6.3f} {f[:, 2].mean():11.3f} {f[:, 3].mean():8.2f} {f[:, 4].mean():15.2f}   {cpu:>18}  {rest}")
    row("foreshade seasonal", ours, "", "1")
    for arg in sys.argv[3:]:
        name, path = arg.split("=")
        d = np.load(path)
        i = d["index"]
        peer = figures(y[i], scale[i], d["mean"], d["lo"], d["hi"])
        rng = np.random.default_rng(1)
        ratios = "  ".join(f"{ratio(ours[i, k], peer[:, k], rng):22}" for k in (0, 1, 4))
        row(name, peer, f"{float(d['seconds']) / len(i):.3f}", ratios + (f"  {int(d['failed'])} failed" if int(d["failed"]) else ""))
        if len(i) < len(y):
            row("  ours on these", ours[i], "", "")


if __name__ == "__main__":
    main()
