"""The placement score by NumPy in float32, beside ours in the same run: placement_numpy.py [SIMD]

Nothing that we know computes exactly this, so the peer is what a person would write: arrays over VMs and hosts, one fused
pass per cell into memory that is kept, on one thread. It gets the request of `placement_bench`, and its answer must be
ours. Prints one JSON object: ours (threads, least wall and processor time, share of the measured peak of a loop of
multiply-adds, and of multiply-adds each with a minimum), the peer's least time, and the ratio on one thread.
Needs numpy and cargo; build with --release."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 7


def load(folder):
    read = lambda name, kind=np.float32: np.fromfile(Path(folder) / name, kind)
    vms, hosts, paths, steps, resources, top = (int(v) for v in read("ints", np.int32))
    cells = paths * steps * resources
    table = read("host").reshape(1 + resources, hosts)
    return {
        "paths": paths, "resources": resources, "top": top, "floats": read("floats"),
        "demand": read("demand").reshape(vms, cells), "room": read("room").reshape(cells, hosts),
        "host_cost": table[0], "inv_cap": table[1:], "vm": read("vm").reshape(vms, 2),
        "allow": np.unpackbits(read("allow", np.int32).reshape(vms, -1).view(np.uint8), axis=1, bitorder="little"),
        "best": read("best", np.int32).reshape(vms, top), "score": read("score").reshape(vms, top, 3),
    }


def score(x):
    """Host indexes and (probability, headroom, cost), [vms][top]."""
    vms, hosts = len(x["demand"]), x["room"].shape[1]
    per_path = x["demand"].shape[1] // x["paths"]
    away = (x["vm"][:, 1:] != np.arange(hosts, dtype=np.float32)).astype(np.float32)
    # Demand that does not count on the present host: 1 / capacity is 0 there.
    inv_cap = [row * away for row in x["inv_cap"]]
    left, worst = np.empty((vms, hosts), np.float32), np.empty((vms, hosts), np.float32)
    overloaded, total = np.zeros((vms, hosts), np.float32), np.zeros((vms, hosts), np.float32)
    for path in range(x["paths"]):
        worst.fill(np.inf)
        for cell in range(path * per_path, (path + 1) * per_path):
            np.multiply(inv_cap[cell % x["resources"]], x["demand"][:, cell, None], out=left)
            np.subtract(x["room"][cell], left, out=left)
            np.minimum(worst, left, out=worst)
        overloaded += worst < 0
        total += worst
    probability, headroom = overloaded / np.float32(x["paths"]), total / np.float32(x["paths"])
    risk_cost, room_value = x["floats"]
    cost = risk_cost * probability - room_value * headroom + x["vm"][:, :1] * away + x["host_cost"]
    cost[x["allow"] == 0] = np.inf
    best = np.argsort(cost, axis=1, kind="stable")[:, : x["top"]]
    pick = lambda a: np.take_along_axis(a, best, axis=1)
    return best, np.stack([pick(probability), pick(headroom), pick(cost)], axis=2)


def disagreement(x, best, words):
    """Why the peer's answer is not ours, or nothing. Costs that are as good as equal may change places."""
    named = x["best"] >= 0
    if not (np.isfinite(words[..., 2]) == named).all():
        return "another number of hosts"
    gap = np.abs(words[..., 2] - x["score"][..., 2])[named].max()
    if gap > 1e-4:
        return f"costs differ by {gap}"
    other = (best != x["best"])[named].mean()
    return f"{other:.1%} of the hosts differ" if other > 0.01 else None


def main():
    run = ["cargo", "run", "--release", "-q", "-p", "foreshade-fallback-cpu", "--example", "placement_bench", "--"]
    with tempfile.TemporaryDirectory() as folder:
        simd = ["--simd", sys.argv[1]] if len(sys.argv) > 1 else []
        ours = json.loads(subprocess.run(run + ["--dump", folder] + simd, check=True, capture_output=True).stdout)
        x = load(folder)
    times = []
    with np.errstate(all="ignore"):  # padding holds anything
        for _ in range(ROUNDS):
            start = time.process_time()
            answer = score(x)
            times.append(time.process_time() - start)
    wrong = disagreement(x, *answer)
    if wrong:
        sys.exit(f"placement_numpy: the answers differ: {wrong}")
    tick = next(row for row in ours if row["case"] == "tick" and row["threads"] == 1)
    peer = {"numpy": np.__version__, "case": "tick", "threads": 1, "cpu_ms": round(min(times) * 1e3, 2)}
    print(json.dumps({"ours": ours, "peer": peer, "times_faster": round(peer["cpu_ms"] / tick["cpu_ms"], 1)}, indent=1))


if __name__ == "__main__":
    main()
