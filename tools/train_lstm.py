"""Train the LSTM with PyTorch. `foreshade train` makes the shipped weights; this is what it is compared with, and its
models can be read and trained further (`--init`).

    python prepare.py --out DATA && python to_product.py --data DATA --out P       (of the forecast bench)
    python tools/train_lstm.py --train P/train --calib P/calib --traces traces --out MODEL_DIR

Learns from P/train, without the VMs and jobs of the demo traces; P/calib is only reported on. One thread and one seed:
the same input and versions give the same weights.

A stream is stepped as in service, one vector per tick, the state carried on: 48 steps of back-propagation at a time
over 288-step segments, the state cut, not reset, between them. A quarter of the segments (and every one-day series)
begin like a new series, with a window that is still filling.
"""

import argparse
import hashlib
import json
import os
import platform
import time

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

import features
from evaluate_lstm import evaluate
from lstm_net import LEVEL_WEIGHTS, LEVELS, Net, pinball
from series import AHEAD, all_real, fnv1a64, read, targets

SEGMENT, CHUNK = 288, 48
WARM, FULL = 24, features.WINDOW
GROUPS = ("cpu", "other")


def demo_ids(traces):
    """Identities shown in the demo: Bitbrains VMs and gcd jobs."""
    vms = pc.unique(pq.read_table(f"{traces}/bitbrains_tiny/tiny_40vms_7days.parquet", columns=["vm"])["vm"])
    gcd = pc.unique(pq.read_table(f"{traces}/gcd_400/vms400.parquet")["vm"].cast("string"))
    return {f"bitbrains:{v}" for v in vms.to_pylist()} | {f"gcd:{v.split('_')[1]}" for v in gcd.to_pylist()}


def segments(all_series, count, rng):
    """(start, series, fresh) of `count` segments of a data set, each series in proportion to its length."""
    usable = [s for s in all_series if len(s.x) >= SEGMENT]
    n = np.array([len(s.x) - SEGMENT + 1 for s in usable], float)
    if n.max() == 1:  # one-day series: each as it is, in rotation
        order = rng.permutation(len(usable))
        return [(0, usable[order[i % len(usable)]], True) for i in range(min(count, len(usable)))]
    pick = rng.choice(len(usable), count, p=n / n.sum())
    return [(int(rng.integers(0, n[i])), usable[i], rng.random() < 0.25) for i in pick]


def pool(by_dataset, count, rng):
    """Tensors of all segments of a group, and the data set of each row."""
    parts, rows = [], {}
    for dataset, all_series in by_dataset.items():
        chosen = segments(all_series, count, rng)
        x = np.stack([s.x[a : a + SEGMENT] for a, s, _ in chosen])
        ok = all_real(np.stack([s.real[a : a + SEGMENT] for a, s, _ in chosen]))
        fresh = np.array([f or a < FULL for a, s, f in chosen])
        feats = [np.zeros((len(x), SEGMENT, *d), np.float32) for d in ((features.INPUT,), (features.STATS,), (), ())]
        for who, before in ((fresh, 0), (~fresh, FULL - 1)):
            if who.any():
                long = np.stack([s.x[a - before : a + SEGMENT] for (a, s, _), w in zip(chosen, who) if w])
                for to, part in zip(feats, features.streams(long, before)):
                    to[who] = part
        y = targets(x)
        weight = ok.astype(np.float32)
        weight[:, :WARM] = 0
        weight[fresh, :FULL] *= 0.25
        # Every data set counts the same: errors in units of its typical distance from the last value.
        weight /= np.abs(y - x[:, :-AHEAD, None])[ok].mean()
        rows[dataset] = np.arange(len(x)) + sum(len(p[0]) for p in parts)
        t = SEGMENT - AHEAD
        parts.append([f[:, :t] for f in feats] + [y.astype(np.float32), weight])
    return [torch.from_numpy(np.concatenate(p)) for p in zip(*parts)], rows


def train(by_dataset, a, rng):
    """One weight set, and the mean loss of the last twentieth of the steps."""
    data, rows = pool(by_dataset, a.segments, rng)
    inp, stats, last, scale, y, weight = data
    net = Net(a.hidden)
    opt = torch.optim.Adam(net.parameters(), a.lr, weight_decay=1e-5)
    chunks = [(c, min(c + CHUNK, inp.shape[1])) for c in range(0, inp.shape[1], CHUNK)]
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, a.lr * 2, total_steps=a.batches * len(chunks))
    levels, weights = torch.tensor(LEVELS), torch.tensor(LEVEL_WEIGHTS)
    losses = []
    for _ in range(a.batches):
        per = a.batch // len(rows)
        i = torch.from_numpy(np.concatenate([rng.choice(r, per, replace=len(r) < per) for r in rows.values()]))
        state = None
        for c, e in chunks:
            q, state = net(inp[i, c:e], stats[i, c:e], state)
            state = tuple(v.detach() for v in state)
            error = (y[i, c:e] - last[i, c:e, None])[..., None] - q * scale[i, c:e, None, None]
            loss = (pinball(error, levels) * weights * weight[i, c:e, None, None]).mean()
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            sched.step()
            losses.append(loss.item())
    return net, float(np.mean(losses[-len(losses) // 20 :]))


def main():
    p = argparse.ArgumentParser()
    for name in ("train", "calib", "traces", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--hidden", type=int, default=32)
    p.add_argument("--segments", type=int, default=1500, help="per data set")
    p.add_argument("--batches", type=int, default=500)
    p.add_argument("--batch", type=int, default=120, help="segments in a batch, over all data sets")
    p.add_argument("--lr", type=float, default=2e-3)
    a = p.parse_args()
    torch.set_num_threads(1)
    shown = demo_ids(a.traces)
    tensors, card, ids = {}, {}, set()
    for k, group in enumerate(GROUPS):
        torch.manual_seed(a.seed + k)
        start = time.process_time()
        data = {d: [s for s in v if s.ident() not in shown] for d, v in read(a.train, group).items()}
        net, loss = train(data, a, np.random.default_rng(a.seed + k))
        seconds = time.process_time() - start
        print(f"{group}: loss {loss:.4f}, {seconds:.0f} CPU-s", flush=True)
        tensors |= {f"{group}.{n}": v.detach().contiguous() for n, v in net.state_dict().items()}
        ids |= {s.ident() for v in data.values() for s in v}
        card[group] = {
            "series": {d: len(v) for d, v in data.items()},
            "loss": round(loss, 5),
            "train_cpu_seconds": round(seconds),
            "calib": evaluate(net, read(a.calib, group), a.calib),
        }
        print(json.dumps(card[group]["calib"], indent=1), flush=True)
    meta = {"format": "foreshade-lstm/1", "features": features.VERSION}
    path = os.path.join(a.out, "model.safetensors")
    save_file(tensors, path, metadata=meta)
    sort_header(path)
    assert not ids & shown
    write_card(a, card, ids, path)


def sort_header(path):
    """The library writes metadata in an order that changes between runs; equal weights shall be equal bytes."""
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as f:
        f.write(len(header).to_bytes(8, "little") + header + data[end:])


def write_card(a, groups, ids, path):
    options = f"--seed {a.seed} --hidden {a.hidden} --segments {a.segments} --batches {a.batches} --batch {a.batch}"
    card = {
        "model_sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(),
        "model_fnv1a64": fnv1a64(open(path, "rb").read()),
        "command": f"python tools/train_lstm.py --train P/train --calib P/calib --traces traces --out MODEL_DIR {options} --lr {a.lr}",
        "seed": a.seed,
        "hidden": a.hidden,
        "features": features.VERSION,
        "targets": ["peak of the next 6 steps", "step 1", "step 6", "step 12"],
        "levels": LEVELS,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "groups": groups,
        "trained_on": {
            "what": "FNV-1a 64 of '<trace>:<id>', id = Bitbrains VM, gcd job or PlanetLab machine",
            "ids_sha256": hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
            "hashes": sorted(fnv1a64(i) for i in ids),
        },
    }
    with open(os.path.join(a.out, "card.json"), "w") as f:
        json.dump(card, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
