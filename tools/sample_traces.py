"""Cut the two demo traces out of the full data sets.

    python tools/sample_traces.py --data DIR --out traces

DIR holds google_gcd_vms/vms.parquet and bitbrains_rnd/{tiny_40vms_7days,vms}.parquet. The same input gives the same
files. Of gcd the series are taken whose mean CPU rises most from the first half of the day to the second: racks that
are sized by the morning run hot in the evening. On a sample by chance even a plain threshold policy sees next to no
contention, and there would be nothing to win. train_lstm.py leaves out every job and VM that is chosen here.
"""

import argparse
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

GCD_SERIES = 400
GCD_SLOTS = 288

GCD_README = """# gcd_400: CPU and memory of 400 jobs' days, every 5 minutes

Source: HiPro-IT/CPU-and-Memory-resource-usage-from-Google-Cluster-Data, commit 327b8ce301d4, derived from the Google
cluster data of May 2011 (google/cluster-data, ClusterData2011_2): the tasks of a job are summed every 5 minutes over a
day; jobs between 5 and 90 % are kept. Here: the 400 of 1,002 series whose mean CPU rises most from the first half of
the day to the second, so that racks sized by the first half run hot in the second (the fleet's demand grows by 31 %).
The shipped model was trained on none of their jobs.
Licence: Google cluster data, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Changes: selection and format.
Cite: C. Reiss, J. Wilkes, J. L. Hellerstein, "Google cluster-usage traces: format + schema", Google Inc., 2011; and the
repository above.

File `vms400.parquet`, 288 rows per series, sorted by vm and slot, no nulls:

| column | type | unit |
|---|---|---|
| vm | string (dictionary) | `vm_<job>_<day>` |
| slot | u16 | 300 s steps since the day began, 0..287 |
| cpu_pct | f32 | percent of the VM's size |
| mem_pct | f32 | percent of the VM's size; canonical memory usage, that is memory consumed |

memory: consumed

Made by `tools/sample_traces.py`.
"""

TINY_README = """# bitbrains_tiny: CPU, memory, disk and network of 40 VMs, seven days, every 5 minutes

Source: GWA-T-12 Bitbrains, part "rnd" (managed hosting, business-critical VMs), as copied in
JessieRayeBauer/Time-Series-Forecasting-, commit 0901a0da3024. 20 busy and 20 quiet VMs, 2013-07-31 22:00 UTC and seven
days on.
Licence: Grid Workloads Archive of TU Delft, free to use with citation.
Cite: S. Shen, V. van Beek, A. Iosup, "Statistical characterization of business-critical workloads hosted in cloud
datacenters", CCGrid 2015.

File `tiny_40vms_7days.parquet`, 2,016 rows per VM, sorted by vm and ts:

| column | type | unit |
|---|---|---|
| vm | u16 | |
| ts | timestamp[ms, UTC] | start of the 300 s slot |
| state | u8 | 0 no sample recorded, 1 powered off, 2 running |
| cpu_pct | f32, null unless running | percent of the VM's own cores; goes over 100 |
| mem_kb | f32, null unless running | KB active, as the hypervisor sees it: not the memory in use |
| disk_r_kbs, disk_w_kbs | f32, null unless running | KB/s, mean over the slot |
| net_rx_kbs, net_tx_kbs | f32, null unless running | KB/s, mean over the slot |

File `vms.parquet`, one row per VM and month: cores, cores_max, cpu_cap_mhz, mem_cap_kb, n_on (running samples).

memory: active

Made by `tools/sample_traces.py`.
"""


def plain_numbers(table):
    """Without the pandas index metadata, which no reader of ours needs."""
    return table.replace_schema_metadata(None)


def write(table, folder, name):
    os.makedirs(folder, exist_ok=True)
    pq.write_table(table, os.path.join(folder, name), compression="zstd", compression_level=19)


def readme(folder, text):
    with open(os.path.join(folder, "README.md"), "w") as f:
        f.write(text)


def growth(column):
    """Mean of the second half of the day less that of the first, per series."""
    halves = column.to_numpy().astype(np.float64).reshape(-1, 2, GCD_SLOTS // 2).mean(axis=2)
    return halves[:, 1] - halves[:, 0]


def gcd(data, out):
    t = pq.read_table(os.path.join(data, "google_gcd_vms", "vms.parquet"), read_dictionary=["vm"])
    names = t["vm"].to_pylist()[::GCD_SLOTS]
    chosen = {names[i] for i in np.argsort(-growth(t["cpu_pct"]), kind="stable")[:GCD_SERIES]}
    rows = np.concatenate([np.arange(i * GCD_SLOTS, (i + 1) * GCD_SLOTS) for i, n in enumerate(names) if n in chosen])
    t = t.take(pa.array(rows)).combine_chunks()
    # A dictionary of the chosen names alone.
    t = t.set_column(0, "vm", t["vm"].cast(pa.string()).combine_chunks().dictionary_encode())
    folder = os.path.join(out, "gcd_400")
    write(plain_numbers(t), folder, "vms400.parquet")
    readme(folder, GCD_README)


def bitbrains(data, out):
    src = os.path.join(data, "bitbrains_rnd")
    t = pq.read_table(os.path.join(src, "tiny_40vms_7days.parquet"))
    vms = pq.read_table(os.path.join(src, "vms.parquet"))
    vms = vms.filter(pc.is_in(vms["vm"], pc.unique(t["vm"])))
    folder = os.path.join(out, "bitbrains_tiny")
    write(plain_numbers(t), folder, "tiny_40vms_7days.parquet")
    write(plain_numbers(vms), folder, "vms.parquet")
    readme(folder, TINY_README)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    gcd(a.data, a.out)
    bitbrains(a.data, a.out)
