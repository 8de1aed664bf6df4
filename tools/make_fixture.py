"""Values that the Rust code must reproduce: models/default/fixture.safetensors.

    python tools/make_fixture.py --model models/default/model.safetensors --traces traces --out models/default

Per weight set: `<set>.x` (n, t) samples in points with NaN for missing ones, from the demo traces; `<set>.input`, `.stats`,
`.last`, `.scale` by tools/features.py; `<set>.q` (n, t, 4, 5) in points and the last `<set>.h`, `<set>.c` by PyTorch.
`plain.*` is the state dict of a torch.nn.LSTM(5, 7); `case.x` -> `case.h` (2, 20, 7), `case.hn`, `case.cn`.
"""

import argparse
import os

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from features import streams
from lstm_net import Net
from series import held, points

STEPS = 200
COLUMNS = {"cpu": "cpu_pct", "other": "net_tx_kbs"}


def samples(traces, column, rng):
    """(3, STEPS) in points: the two busiest Bitbrains VMs, one of them with holes punched, and a gcd job."""
    bb = pq.read_table(f"{traces}/bitbrains_tiny/tiny_40vms_7days.parquet").to_pandas()
    wide = bb.pivot(index="ts", columns="vm", values=column).to_numpy(np.float64)
    busy = np.argsort(-np.nan_to_num(wide).std(0))[:2]
    rows = [points(column, wide[300 : 300 + STEPS, i]) for i in busy]
    g = pq.read_table(f"{traces}/gcd_400/vms400.parquet").to_pandas()
    rows.append(g[["cpu_pct", "mem_pct"][column != "cpu_pct"]].to_numpy()[:STEPS])
    x = np.array(rows, np.float32)
    x[1, 1:][rng.random(STEPS - 1) < 0.05] = np.nan
    x[1, 60:80] = np.nan
    assert not np.isnan(x[:, 0]).any()
    return x


@torch.no_grad()
def main():
    p = argparse.ArgumentParser()
    for name in ("model", "traces", "out"):
        p.add_argument("--" + name, required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    model, out = load_file(a.model), {}
    for group, column in COLUMNS.items():
        state = {k.removeprefix(group + "."): v for k, v in model.items() if k.startswith(group + ".")}
        net = Net(state["lstm.weight_hh_l0"].shape[1], state["head.0.bias"].shape[0])
        net.load_state_dict(state)
        x = samples(a.traces, column, rng)
        inp, stats, last, scale = (torch.from_numpy(v) for v in streams(np.array([held(v) for v in x])))
        q, (h, c) = net(inp, stats)
        q = (last[..., None, None] + scale[..., None, None] * q).clamp(min=0)
        named = dict(x=torch.from_numpy(x), input=inp, stats=stats, last=last, scale=scale, q=q, h=h[0], c=c[0])
        out |= {f"{group}.{k}": v for k, v in named.items()}
    plain = torch.nn.LSTM(5, 7, batch_first=True)
    x = torch.randn(2, 20, 5)
    y, (h, c) = plain(x)
    out |= {"plain." + k: v for k, v in plain.state_dict().items()}
    out |= {"case.x": x, "case.h": y, "case.hn": h[0].clone(), "case.cn": c[0].clone()}
    out = {k: v.contiguous() for k, v in out.items()}
    save_file(out, os.path.join(a.out, "fixture.safetensors"))


if __name__ == "__main__":
    main()
