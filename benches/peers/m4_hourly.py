"""M4 hourly: 48 h ahead with a 90 % interval, peers of statsforecast. Arguments: series.parquet, model, output, how many series (spread evenly
over the set; 0 = all). Writes index, mean, lo, hi (n x 48) and the seconds of processor time as .npz. A model with _log is given log(1 + y),
the scale that ours works on, and its answers are mapped back."""

import sys
import time

import numpy as np
import pyarrow.parquet as pq
from statsforecast.models import MSTL, AutoARIMA, AutoETS, SeasonalNaive

HORIZON = 48
MODELS = {
    "snaive24": lambda: SeasonalNaive(season_length=24),
    "snaive168": lambda: SeasonalNaive(season_length=168),
    "mstl": lambda: MSTL(season_length=[24, 168], trend_forecaster=AutoETS(model="ZZN")),
    "mstl_arima": lambda: MSTL(season_length=[24, 168], trend_forecaster=AutoARIMA()),
    "autoets": lambda: AutoETS(season_length=24),
    "autoarima": lambda: AutoARIMA(season_length=24),
}


def chosen(total, want):
    """Series spread evenly over the set, the same ones for every model of that number."""
    return np.arange(total) if want == 0 or want >= total else np.linspace(0, total - 1, want).round().astype(int)


def main():
    path, name, out, want = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    make = MODELS[name.removesuffix("_log")]
    there, back = (np.log1p, np.expm1) if name.endswith("_log") else (np.asarray, np.asarray)
    train = pq.read_table(path, columns=["train"])["train"].to_pylist()
    index = chosen(len(train), want)
    rows, failed, start = [], 0, time.process_time()
    for i in index:
        y = np.asarray(train[i], dtype=np.float64)
        try:
            f = make().forecast(y=there(y), h=HORIZON, level=[90])
            row = [back(np.asarray(f[k], dtype=np.float64)) for k in ("mean", "lo-90", "hi-90")]
            if not all(np.isfinite(r).all() for r in row):
                raise ValueError("not finite")
        except Exception:  # The peer raises several kinds; the last day stands in, and the failure is counted.
            failed += 1
            row = [np.tile(y[-24:], 2)] * 3
        rows.append(row)
    seconds = time.process_time() - start
    mean, lo, hi = (np.array([r[k] for r in rows]) for k in range(3))
    np.savez(out, index=index, mean=mean, lo=lo, hi=hi, seconds=seconds, failed=failed)
    print(f"{name}: {len(index)} series, {seconds:.0f} s of processor time, {failed} failed", file=sys.stderr)


if __name__ == "__main__":
    main()
