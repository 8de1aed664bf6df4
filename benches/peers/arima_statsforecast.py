"""Series per second of processor time of statsforecast, one process: fit and 12 steps with an interval. Arguments: rows.f64, how many series
for ARIMA(2,1,1) and AutoARIMA. Prints JSON."""

import json
import sys
import time

import numpy as np
from statsforecast.models import ARIMA, AutoARIMA


def rate(rows, make):
    failed, start = 0, time.process_time()
    for y in rows:
        try:
            out = make().forecast(y=y, h=12, level=[90])
            failed += not np.isfinite(out["mean"]).all()
        except Exception:  # The peer raises several kinds; a failed fit counts as one and is reported.
            failed += 1
    return {"per_s": len(rows) / (time.process_time() - start), "failed": failed}


def main():
    rows = np.fromfile(sys.argv[1]).reshape(-1, 144)
    rate(rows[:2], lambda: ARIMA(order=(2, 1, 1)))
    print(json.dumps({
        "statsforecast ARIMA(2,1,1)": rate(rows[: int(sys.argv[2])], lambda: ARIMA(order=(2, 1, 1))),
        "statsforecast AutoARIMA": rate(rows[: int(sys.argv[3])], lambda: AutoARIMA(season_length=1)),
    }))


if __name__ == "__main__":
    main()
