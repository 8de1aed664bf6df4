#!/usr/bin/env python3
"""Writes vectors/small.json: arima_fit by other means than reference.rs. Systems are solved as dense matrices, moments of
the long autoregression's residuals come from its coefficients as a filter, quantiles are NumPy's.

    python3 gen.py          # NumPy; writes beside this file
"""

import json
import pathlib

import numpy as np

P, WARM = 6, 7
LEVELS = np.array([0.05, 0.5, 0.9, 0.95, 0.99], np.float32).astype(float)
NORMAL = [-1.6448536, 0.0, 1.2815516, 1.6448536, 2.3263479]


def toeplitz(rho, n):
    return np.array([[rho[abs(i - j)] for j in range(n)] for i in range(n)])


def orders(r):
    """All (p, q, phi, theta, share of r_0) that may be chosen."""
    rho = np.array(r) / r[0]
    rho[0] = 1 + 2**-14
    out, shares = [], []
    for p in range(P + 1):
        phi = np.linalg.solve(toeplitz(rho, p), rho[1 : p + 1]) if p else np.zeros(0)
        share = rho[0] - phi @ rho[1 : p + 1]
        shares.append(share)
        out.append((p, 0, phi, 0.0, max(share, 2**-20)))
    # Regressors as filters over z_{t-1} .. z_{t-7}; their moments follow from those of z.
    cov, cross = toeplitz(rho, 7), rho[1:8]
    e = np.concatenate([[1.0], -phi])
    for p in range(3):
        if p and shares[p - 1] - shares[P] < shares[p - 1] / 64:
            continue
        a = np.array([np.eye(7)[i] for i in range(p)] + [e])
        b = np.linalg.solve(a @ cov @ a.T, a @ cross)
        phi, theta = b[:p], b[p]
        f = np.concatenate([phi, np.zeros(2)])[:2]
        if abs(theta) > 0.98 or abs(f[0]) + f[1] > 0.98 or abs(f[1]) > 0.98:
            continue
        out.append((p, 1, phi, theta, max(rho[0] - b @ (a @ cross), 2**-20)))
    return out


def aicc(n, variance, k):
    return n * np.log(variance) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def fit(y):
    y = np.array(y, np.float32).astype(float)
    ok = np.abs(np.nan_to_num(y, nan=np.inf)) <= 2.0**50
    v = y[ok]
    pair = np.concatenate([[False], ok[1:] & ok[:-1]])
    judged = pair & (np.arange(len(y)) >= WARM)
    out = dict(status=1, d=0, p=0, q=0, n=len(v), mean=0.0, variance=0.0, aicc=0.0, phi=[0.0] * P, theta=0.0)
    out |= dict(tail=[0.0] * P, residual=0.0, last=float(v[-1]) if len(v) else 0.0, quantiles=[0.0] * 5)
    half = (v.max() - v.min()) / 2 if len(v) else 0.0
    if half < 2.0**-50:
        return out
    if len(v) < 24 or judged.sum() < 12:
        var = v.var()
        return out | dict(variance=var, quantiles=[q * np.sqrt(var) for q in NORMAL])
    unit = 2.0 ** float(np.floor(np.log2(half)))
    mean = v.mean()
    diff = np.where(pair, np.diff(y, prepend=np.nan), 0.0)
    best = None
    for d, (there, z) in enumerate([(ok, np.where(ok, y - mean, 0.0)), (pair, np.nan_to_num(diff, posinf=0, neginf=0))]):
        z = np.where(there, z, 0.0) / unit
        n = there.sum()
        r = [z[k:] @ z[: len(z) - k] / n for k in range(8)]
        p, q, phi, theta, _ = min(orders(r), key=lambda o: aicc(n, o[4], o[0] + o[1] + 2 - d))
        e = np.zeros(len(z))
        for t in range(len(z)):
            past = sum(phi[j] * z[t - 1 - j] for j in range(p) if t > j)
            e[t] = (z[t] - past - (theta * e[t - 1] if t else 0.0)) * there[t]
        variance = max(np.mean(e[judged] ** 2), 2.0**-40)
        score = aicc(judged.sum(), variance, p + q + 2 - d)
        if best is None or score < best[0]:
            best = (score, d, p, q, phi, theta, e, variance, z, n)
    score, d, p, q, phi, theta, e, variance, z, n = best
    return out | dict(
        status=0, d=d, p=p, q=q, n=int(n), mean=mean if d == 0 else 0.0, variance=variance * unit**2,
        aicc=score + 2 * judged.sum() * np.log(unit), phi=list(phi) + [0.0] * (P - p), theta=theta,
        tail=list(z[::-1][:P] * unit), residual=e[-1] * unit, quantiles=list(np.quantile(e[judged], LEVELS) * unit),
    )


def series():
    g = np.random.default_rng(20261121)

    def arma(n, ar=(), ma=0.0):
        z, e = np.zeros(n + 50), g.normal(size=n + 50)
        for t in range(n + 50):
            z[t] = e[t] + sum(a * z[t - 1 - j] for j, a in enumerate(ar) if t > j) + (ma * e[t - 1] if t else 0)
        return z[50:]

    gaps = arma(60, [0.7])
    gaps[[3, 4, 17, 30, 59]] = np.nan
    wrong = arma(60, [0.5])
    wrong[[5, 20, 41]] = [np.inf, -np.inf, 3e38]
    return {
        "AR(1)": arma(96, [0.7]),
        "AR(2) with waves": arma(144, [1.2, -0.8]),
        "AR(6)": arma(288, [0.3, -0.2, 0.2, -0.3, 0.2, 0.4]),
        "MA(1)": arma(144, [], 0.8),
        "ARMA(1,1)": arma(288, [0.8], -0.5),
        "random walk": 100 + np.cumsum(arma(96)),
        "noise around a walk": np.cumsum(arma(144)) * 0.3 + arma(144),
        "ramp": np.arange(48) * 0.25,
        "steps": np.repeat([1.0, 5.0, 5.5], 16),
        "constant": np.full(30, 0.1),
        "idle": 0.3 + 1e-4 * arma(60),
        "gaps": gaps,
        "wrong samples": wrong,
        "every second one missing": np.where(np.arange(60) % 2, np.nan, arma(60)),
        "nothing": np.full(24, np.nan),
        "one value": np.where(np.arange(24) == 7, 5.0, np.nan),
        "twenty-three values": np.where(np.arange(30) < 23, arma(30), np.nan),
        "shortest": arma(24, [0.5]),
        "near the upper end": arma(48, [0.6]) * 2e14,
        "near the lower end": arma(48, [0.6]) * 1e-13,
        "below the lower end": arma(48, [0.6]) * 1e-17,
    }


def number(v):
    """JSON has no NaN and no infinity: null and a text."""
    v = float(v)
    return None if np.isnan(v) else v if np.isfinite(v) else ("inf" if v > 0 else "-inf")


def main():
    cases = []
    for name, y in series().items():
        y = [float(np.float32(v)) for v in y]
        want = {k: [float(x) for x in v] if isinstance(v, list) else float(v) for k, v in fit(y).items()}
        cases.append({"name": name, "y": [number(v) for v in y], "fit": want})
    text = ",\n".join(json.dumps(c) for c in cases)
    path = pathlib.Path(__file__).parent / "vectors" / "small.json"
    path.write_text("[\n" + text + "\n]\n")


if __name__ == "__main__":
    main()
