"""The LSTM's inputs in NumPy, for training: the same function as host/forecast/src/features.rs.

A fixture of values (models/default/fixture.safetensors) keeps the two together, within 1e-4.
"""

import numpy as np

WINDOW, INPUT, STATS = 144, 6, 48
VERSION = "1"
PEAK, HOUR, RECENT = 6, 12, 36
CLIP = 8.0
EWMA = (0.05, 0.2, 0.5)
CHUNK = 20000


def roll(x, k):
    return np.lib.stride_tricks.sliding_window_view(x, k, axis=1)


def quantiles(x, levels):
    """Linear interpolation, as numpy.quantile but from one sort; 0 where there is no value."""
    if x.shape[1] == 0:
        return np.zeros((len(x), len(levels)), np.float32)
    x = np.sort(x, axis=1)
    at = np.array(levels) * (x.shape[1] - 1)
    low = at.astype(int)
    high = np.minimum(low + 1, x.shape[1] - 1)
    return x[:, low] + (at - low).astype(np.float32) * (x[:, high] - x[:, low])


def features(x):
    """x (n, k) in points, 1 <= k <= 144, oldest first -> input (n, 6), stats (n, 48), last (n,), scale (n,)."""
    x = np.ascontiguousarray(x, np.float32)
    n, k = x.shape
    m = x.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
    s = np.sqrt(((x - m).astype(np.float64) ** 2).mean(1, keepdims=True)).astype(np.float32) + np.float32(0.5)
    z = (x - m) / s
    hour = z[:, -HOUR:]
    hour_max, hour_mean = hour.max(1), hour.mean(1)
    ones = np.ones(n, np.float32)
    inp = np.stack([z[:, -1], x[:, -1] / 100, hour_max, hour_mean, np.log(s[:, 0]), m[:, 0] / 100], 1)
    peaks = roll(x, PEAK).max(2) if k >= PEAK else x.max(1, keepdims=True)
    rises = roll(x[:, 1:], PEAK).max(2) - x[:, :-PEAK] if k > PEAK else x[:, :0]
    last_hour = z[:, np.maximum(np.arange(k - HOUR, k), 0)]
    lag = [(z[:, j:] * z[:, :-j]).mean(1) if k > j else 0 * ones for j in (1, PEAK, HOUR)]
    ewma = []
    for a in EWMA:
        w = (a * (1 - a) ** np.arange(k)[::-1]).astype(np.float32)
        ewma.append(z @ (w / w.sum()))
    stats = np.concatenate(
        [
            m / 100,
            np.log(s),
            quantiles(z, [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]),
            quantiles(z[:, -RECENT:], [0.1, 0.5, 0.9]),
            (quantiles(peaks, [0.5, 0.9, 0.95, 0.99]) - m) / s,
            last_hour,
            z[:, -PEAK:].max(1, keepdims=True),
            hour_max[:, None],
            hour_mean[:, None],
            hour.std(1, keepdims=True),
            quantiles(np.abs(np.diff(x, axis=1)), [0.5, 0.9, 0.99]) / s,
            np.stack(lag, 1),
            np.stack(ewma, 1),
            quantiles(rises, [0.5, 0.9, 0.95, 0.99]) / s,
            quantiles(x[:, HOUR:] - x[:, :-HOUR], [0.05, 0.95]) / s,
            np.full((n, 1), k / WINDOW, np.float32),
        ],
        1,
    )
    return inp.astype(np.float32), np.clip(stats, -CLIP, CLIP).astype(np.float32), x[:, -1], s[:, 0]


def streams(x, skip=0):
    """Features at ticks skip.. of equally long series x (n, t) -> input (n, t - skip, 6), stats, last, scale."""
    n, t = x.shape
    parts = [features(x[:, : k + 1]) for k in range(skip, min(t, WINDOW) - 1)]
    inp, stats, last, scale = (np.stack(p, 1) for p in zip(*parts)) if parts else [None] * 4
    if t >= WINDOW:
        w = roll(x, WINDOW)[:, max(0, skip - WINDOW + 1) :]
        rows = max(1, CHUNK // w.shape[1])
        full = []
        for i in range(0, n, rows):
            v = w[i : i + rows].reshape(-1, WINDOW)
            full += [features(v[j : j + CHUNK]) for j in range(0, len(v), CHUNK)]
        full = [f.reshape(n, w.shape[1], *f.shape[1:]) for f in join(full)]
        if not parts:
            return full
        inp, stats, last, scale = (np.concatenate(p, 1) for p in zip((inp, stats, last, scale), full))
    return inp, stats, last, scale


def join(parts):
    return [np.concatenate(p) for p in zip(*parts)]
