"""Writes the series of arima.sh: 4,096 of 144 samples, seeded, of the kinds a fleet shows. DIR/rows.f64 [series][144] for
the peers, DIR/columns.f32 [144][series] for our bench."""

import sys

import numpy as np

SERIES, SAMPLES, WARM = 4096, 144, 50


def main(folder):
    g = np.random.default_rng(3)
    e = g.normal(size=(SERIES, SAMPLES + WARM))
    a, b = g.uniform(0.2, 0.95, (SERIES, 1)), g.uniform(-0.6, 0.6, (SERIES, 1))
    z = np.zeros_like(e)
    for t in range(1, e.shape[1]):
        z[:, t : t + 1] = a * z[:, t - 1 : t] + e[:, t : t + 1] + b * e[:, t - 1 : t]
    z = z[:, WARM:]
    walk = np.arange(SERIES) % 4 == 0
    z[walk] = np.cumsum(z[walk], axis=1) * 0.3
    y = (50 + 5 * z).astype(np.float32)
    y.astype(np.float64).tofile(f"{folder}/rows.f64")
    np.ascontiguousarray(y.T).tofile(f"{folder}/columns.f32")


if __name__ == "__main__":
    main(sys.argv[1])
