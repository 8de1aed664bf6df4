"""Joins the rounds of lstm.sh: best of all rounds per case, ratios, and the goals they are held to."""

import json
import os
import platform
import sys
from pathlib import Path


def best(folder, pattern):
    rows = {}
    for file in sorted(Path(folder).glob(pattern)):
        for r in json.loads(file.read_text())["results"]:
            key = (r["case"], r.get("simd", ""), r["threads"])
            old = rows.setdefault(key, dict(r))
            for field, pick in (("best_ms", min), ("cpu_ms_per_thread", min), ("share_of_peak", max),
                                ("mac_gflops", max), ("fma_peak_gflops", max)):
                if field in r:
                    old[field] = pick(old[field], r[field])
    return rows


def main():
    ours, onnx, torch = (best(sys.argv[1], f"lstm_{who}.*.json") for who in ("ours", "onnx", "torch"))
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end")
    print(f"{'case':<46}{'threads':>8}{'best ms':>10}{'CPU ms/thread':>15}{'MAC GFLOP/s':>13}{'FMA peak':>10}{'share':>7}")
    for who, rows in (("", ours), ("ONNX Runtime: ", onnx), ("PyTorch: ", torch)):
        for (case, simd, threads), r in rows.items():
            more = "".join(f"{r[k]:>{w}.{d}f}" if k in r else "" for k, w, d in
                           (("mac_gflops", 13, 1), ("fma_peak_gflops", 10, 1), ("share_of_peak", 7, 2)))
            cpu = r.get("cpu_ms_per_thread")
            print(f"{(who + case + ' ' + simd):<46.45}{threads:>8}{r['best_ms']:>10.3f}"
                  f"{cpu if cpu is not None else '-':>15}{more}")
    level = list(dict.fromkeys(simd for case, simd, _ in ours if case == "8->32"))[-1]
    for kind in ("best_ms", "cpu_ms_per_thread"):
        for threads in (1, 2):
            step = ours["8->32", level, threads][kind]
            gemm = min(r[kind] for (case, _, t), r in onnx.items() if "Gemm" in case and t == threads)
            op = onnx["LSTM op, one step", "", threads][kind]
            window = onnx["LSTM op, window of 24", "", threads][kind]
            print(f"{kind}, {threads} threads: LSTM op {op / step:.2f}x (goal 2.5), best Gemm graph {gemm / step:.2f}x "
                  f"(goal 2), window of 24 {window / step:.0f}x (goal 30)")
            eager = min(r[kind] for (case, _, t), r in torch.items() if "one step" in case and t == threads)
            full = ours["window of 48", level, threads]["best_ms"]
            of = lambda rows, case: rows[case, "", threads]["best_ms"] / full
            print(f"  PyTorch, one step: {eager / step:.2f}x (goal 1.4); by the clock, windows of 48: PyTorch "
                  f"{of(torch, 'LSTM, window of 48'):.2f}x (goal 2.2), ONNX Runtime "
                  f"{of(onnx, 'LSTM op, window of 48'):.2f}x (goal 2.5)")
    one, two = (ours["8->32", level, t] for t in (1, 2))
    print(f"share of the FMA peak, 1 thread: {one['share_of_peak']:.3f} (goal 0.70, best single run)")
    print(f"2 threads: {one['best_ms'] / two['best_ms']:.2f}x of 1 thread by the clock (goal 1.9 on an idle machine), "
          f"{one['cpu_ms_per_thread'] / two['cpu_ms_per_thread']:.2f}x by processor time")


main()
