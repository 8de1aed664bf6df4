#!/usr/bin/env python3
"""Writes vectors/small.json: forecasts by other means than reference.rs. The mean is the recursion of the undifferenced
equation with future shocks 0; the variance is that of the response to one shock, each by running the equation.

    python3 gen.py          # NumPy; writes beside this file
"""

import json
import pathlib

import numpy as np

P = 6


def run(f, z, e, shocks, steps):
    """The equation onward from the past z, e (newest last); shocks of the future."""
    z, e = list(z), list(e)
    for h in range(steps):
        shock = shocks[h] if h < len(shocks) else 0.0
        z.append(sum(f["phi"][j] * z[-1 - j] for j in range(P)) + f["theta"] * e[-1] + shock)
        e.append(shock)
    return np.array(z[-steps:])


def forecast(f, steps):
    path = run(f, f["tail"][::-1], [f["residual"]], [], steps)
    psi = run(f, [0.0] * P, [0.0], [1.0], steps)
    if f["status"]:
        mean = np.full(steps, f["last"])
    elif f["d"]:
        mean, psi = f["last"] + np.cumsum(path), np.cumsum(psi)
    else:
        mean = f["mean"] + path
    return mean, np.minimum(f["variance"] * np.cumsum(psi**2), float(np.float32(3.0e38)))


def model(**given):
    base = dict(status=0, d=0, p=0, q=0, n=100, mean=0.0, variance=1.0, aicc=0.0, phi=[], theta=0.0, tail=[])
    f = base | dict(residual=0.0, last=0.0, quantiles=[-1.6, 0.1, 1.3, 1.7, 2.2]) | given
    f["phi"] = (list(f["phi"]) + [0.0] * P)[:P]
    f["tail"] = (list(f["tail"]) + [0.0] * P)[:P]
    return {k: [float(np.float32(x)) for x in v] if isinstance(v, list) else float(np.float32(v)) for k, v in f.items()}


MODELS = {
    # By hand: 10 + 0.5^h 4, variance 4 (1 + 1/4 + 1/16 ..).
    "half-way back to the mean": model(p=1, mean=10, variance=4, phi=[0.5], tail=[4]),
    # By hand: 3 always, variance h / 4.
    "random walk": model(d=1, variance=0.25, last=3),
    # By hand: mean 2 + 0.5 0.8, then 2; variance 1, then 1.25.
    "moving average": model(q=1, mean=2, theta=0.5, residual=0.8),
    # By hand: 7 always, variance 9.
    "last value": model(status=1, variance=9, last=7),
    "nothing known": model(status=1, variance=0),
    "simple smoothing": model(d=1, q=1, theta=-0.7, residual=1.5, last=40, variance=2, tail=[0.3]),
    "waves": model(p=2, phi=[1.2, -0.8], tail=[1, 0.5], mean=-3),
    "mixed": model(d=1, p=2, q=1, phi=[0.5, -0.3], theta=0.4, tail=[0.1, -0.2], residual=0.2, last=8.0e9, variance=1e10),
    "all six": model(p=6, phi=[0.3, -0.2, 0.2, -0.3, 0.2, 0.4], tail=[1, -2, 3, -4, 5, -6], mean=0.5, variance=1e-6),
    "nearly a second integration": model(d=1, p=1, phi=[0.999], tail=[1], variance=1),
    "a variance that does not fit": model(d=1, p=1, phi=[0.999], tail=[1], variance=1e37),
}


def main():
    cases = []
    for name, f in MODELS.items():
        steps = 48 if name in ("waves", "all six", "mixed") else 12
        mean, variance = forecast(f, steps)
        cases.append({"name": name, "fit": f, "mean": mean.tolist(), "variance": variance.tolist()})
    text = ",\n".join(json.dumps(c) for c in cases)
    path = pathlib.Path(__file__).parent / "vectors" / "small.json"
    path.write_text("[\n" + text + "\n]\n")


if __name__ == "__main__":
    main()
