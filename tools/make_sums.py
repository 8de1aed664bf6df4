"""Make hosts of 10 to 30 VMs out of the training series: `foreshade train` learns from their mean CPU beside the VMs, so that it
can forecast hosts and racks, whose noise is another than a VM's.

    python tools/make_sums.py --train P/train --exclude models/default/exclude.txt --out hosts_cpu.input.parquet

VMs of a host are drawn from those of one trace that run at the same time, none of the excluded ones. Same seed, same file.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from series import read

HOSTS = {"bitbrains_cpu": 30, "gcd_cpu": 120, "planetlab_cpu": 400}
STEP_MS, DAY_MS = 300_000, 86_400_000
LEAST = 280


def together(all_series):
    """Series that run at the same time: those of a day, or all that last for weeks."""
    groups = {}
    for s in all_series:
        key = -1 if len(s.x) > 2 * DAY_MS // STEP_MS else int(s.ts[0].astype("int64")) // DAY_MS
        groups.setdefault(key, []).append(s)
    return [g for _, g in sorted(groups.items()) if len(g) >= 12]


def mean_of(vms, whole):
    """Times and mean of some VMs: where all are there, or, of a day, with their ends held."""
    at = [(s.ts.astype("int64") // STEP_MS).astype(int) for s in vms]
    first, last = min(a[0] for a in at), max(a[-1] for a in at)
    x = np.full((len(vms), last - first + 1), np.nan)
    for row, s, a in zip(x, vms, at):
        row[a - first] = s.x
        if not whole:
            row[: a[0] - first] = s.x[0]
            row[a[-1] - first :] = s.x[-1]
    keep = ~np.isnan(x).any(axis=0)
    return ((np.arange(first, last + 1) * STEP_MS)[keep]), x.mean(axis=0)[keep]


def main():
    p = argparse.ArgumentParser()
    for name in ("train", "exclude", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--seed", type=int, default=3)
    a = p.parse_args()
    lines = (line.split("#")[0].strip() for line in open(a.exclude))
    excluded = {line for line in lines if line}
    rng = np.random.default_rng(a.seed)
    name, ts, value = [], [], []
    for dataset, all_series in read(a.train, "cpu").items():
        groups = together([s for s in all_series if s.ident() not in excluded])
        share = np.array([len(g) for g in groups], float)
        for k in range(HOSTS[dataset]):
            group = groups[rng.choice(len(groups), p=share / share.sum())]
            size = min(len(group), int(rng.integers(10, 31)))
            vms = [group[i] for i in rng.choice(len(group), size, replace=False)]
            t, v = mean_of(vms, whole=len(vms[0].x) > 2 * DAY_MS // STEP_MS)
            if len(t) >= LEAST:
                name += [f"{dataset.removesuffix('_cpu')}-host{k}"] * len(t)
                ts.append(t)
                value.append(v)
    times = pa.array(np.concatenate(ts), pa.timestamp("ms", "UTC"))
    columns = {"series": pa.array(name), "ts": times, "cpu_pct": pa.array(np.concatenate(value).astype(np.float32))}
    pq.write_table(pa.table(columns), a.out)
    print(f"{len(ts)} hosts, {len(name)} samples")


if __name__ == "__main__":
    main()
