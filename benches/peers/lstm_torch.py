"""Speed of PyTorch on the step that `lstm_bench` measures: 8 inputs, 32 units, 16,384 series, f32, no head.

    python3 lstm_torch.py [SECONDS_PER_FIGURE]

Needs torch. Prints one JSON object. One step goes through `torch.lstm` (what `torch.nn.LSTM` calls) and through `LSTMCell`; a
window through `torch.nn.LSTM` from zero.
"""

import json
import sys
import time

import torch

B, I, H, WINDOWS = 16384, 8, 32, (24, 48)


def timed(run, seconds):
    run()
    best, n, cpu, start = float("inf"), 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        t = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - t)
        n += 1
    return best, (time.process_time() - cpu) / n


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    torch.manual_seed(1)
    lstm, cell = torch.nn.LSTM(I, H), torch.nn.LSTMCell(I, H)
    with torch.no_grad():
        for theirs, ours in zip(cell.parameters(), lstm.parameters()):
            theirs.copy_(ours)
    x, h, c = torch.randn(1, B, I), torch.rand(1, B, H), torch.rand(1, B, H)
    results = []

    def add(case, threads, run):
        best, cpu = timed(run, seconds)
        results.append({"case": case, "threads": threads, "best_ms": round(best * 1e3, 4),
                        "cpu_ms_per_thread": round(cpu * 1e3 / threads, 4)})

    with torch.inference_mode():
        want, got = lstm(x, (h, c))[1][0][0], cell(x[0], (h[0], c[0]))[0]
        assert (want - got).abs().max() < 1e-5, "the two compute different things"
        for threads in (1, 2):
            torch.set_num_threads(threads)
            add("LSTM, one step", threads, lambda: lstm(x, (h, c)))
            add("LSTMCell, one step", threads, lambda: cell(x[0], (h[0], c[0])))
            for window in WINDOWS:
                xs = x.repeat(window, 1, 1)
                add(f"LSTM, window of {window}", threads, lambda: lstm(xs))
    print(json.dumps({"torch": torch.__version__, "series": B, "results": results}, indent=1))


main()
