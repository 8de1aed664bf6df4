"""Judges hazard models on the rows that example hazard_fit wrote: same rows, same inputs, same split.

    python hazard.py NAME ROWS.parquet

Every peer is fitted on part 0, calibrated (Platt) on part 1 and judged on part 2, as ours is; hosts set aside are in no part
but the last. Intervals are of 200 bootstrap draws of hosts, and of days where a host interval alone would not see that
hosts fail together.
"""

import sys

import numpy as np
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

DRAWS = 200
SEED = 20261121


def logit(p):
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def platt(score, y, w, test):
    model = LogisticRegression(C=1e6).fit(score[:, None], y, sample_weight=w)
    return model.predict_proba(test[:, None])[:, 1]


def ranked(y, p):
    """What auc() needs of one order: outcomes in order of p, where each tie begins and ends."""
    order = np.argsort(p, kind="stable")
    _, first, count = np.unique(p[order], return_index=True, return_counts=True)
    return order, y[order], np.repeat(first, count), np.repeat(first + count, count)


def auc(rank, w):
    order, y, first, end = rank
    w = w[order]
    below = np.r_[0.0, np.cumsum(np.where(y, 0.0, w))]
    yes = np.where(y, w, 0.0)
    return float((yes * (below[first] + below[end]) / 2).sum() / (yes.sum() * below[-1]))


def ece(y, p, w, bins=10):
    order = np.argsort(p, kind="stable")
    y, p, w = y[order], p[order], w[order]
    at = np.minimum(((np.cumsum(w) - w / 2) / w.sum() * bins).astype(int), bins - 1)
    total = lambda v: np.bincount(at, v, bins)
    return float(np.abs(total(w * p) - total(w * y)).sum() / w.sum())


def draws(of, seed):
    """Weights of the rows in each bootstrap draw of the groups `of`."""
    names, group = np.unique(of, return_inverse=True)
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[group]


def peers(x, y, w, fit, cal, names):
    """(name, answers for all rows)."""
    since = [names.index(n) for n in ("since_failure", "never_failed") if n in names]
    mean, spread = x[fit].mean(0), x[fit].std(0) + 1e-9
    z = (x - mean) / spread

    def linear(columns):
        m = LogisticRegression(C=1.0, max_iter=500).fit(z[fit][:, columns], y[fit], sample_weight=w[fit])
        return m.decision_function(z[:, columns])

    if since:
        yield "time since the last failure", linear(since)
    else:
        yield "reallocated and pending sectors", linear([names.index(f"smart_{a}_log") for a in (5, 197)])
    yield "scikit-learn logistic, all inputs", linear(list(range(len(names))))
    for leaf in (200, 2000):
        m = HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=min(leaf, max(int(fit.sum() / 50), 5)),
            l2_regularization=10.0, random_state=0)
        m.fit(x[fit], y[fit], sample_weight=w[fit])
        yield f"scikit-learn boosted trees, leaf {leaf}", m.decision_function(x)


def judge(table, horizon):
    of = lambda c: table[c].to_numpy()
    y, w, part, aside = of(f"y_{horizon}"), of("weight").astype(float), of("part"), of("aside")
    columns = [c for c in table.column_names if c.startswith("x_")]
    x = np.column_stack([of(c) for c in columns]).astype(np.float32)
    known = y >= 0
    fit, cal, test = (known & (part == 0) & ~aside), (known & (part == 1) & ~aside), known & (part == 2)
    y = y == 1
    base = np.average(y[cal], weights=w[cal])
    answers = {"ours": of(f"p_{horizon}"), "base rate": np.full(len(y), base)}
    for name, score in peers(x, y, w, fit, cal, [c[2:] for c in columns]):
        answers[name] = platt(score[cal], y[cal], w[cal], score)
    for who, rows in (("hosts of the fit", test & ~aside), ("hosts set aside", test & aside)):
        if not rows.any() or not y[rows].any():
            continue
        yy, ww, day = y[rows], w[rows], of("at_s")[rows] // 86400
        print(f"\n{horizon // 3600} h ahead, {who}: {rows.sum()} rows, {yy.sum()} with a failure, "
              f"share {np.average(yy, weights=ww):.5f}")
        print(f"  {'':<38}{'AUC':>8}{'90 % by host':>18}{'by day':>18}{'skill':>9}{'90 % by host':>20}{'ECE':>9}")
        host_draws = [ww * d for d in draws(of("host")[rows], SEED)]
        day_draws = [ww * d for d in draws(day, SEED + 1)]
        ours = None
        for name, p in answers.items():
            p = p[rows]
            rank = ranked(yy, p)
            error = (p - yy) ** 2

            def skill(v):
                mean = np.average(yy, weights=v)
                return 1 - np.average(error, weights=v) / (mean * (1 - mean))

            by_host = np.array([[auc(rank, v), skill(v)] for v in host_draws])
            by_day = np.array([[auc(rank, v), skill(v)] for v in day_draws])
            span = lambda v: "{:.4f}..{:.4f}".format(*np.quantile(v, (0.05, 0.95)))
            print(f"  {name:<38}{auc(rank, ww):>8.4f}{span(by_host[:, 0]):>18}{span(by_day[:, 0]):>18}"
                  f"{skill(ww):>+9.4f}{span(by_host[:, 1]):>20}{ece(yy, p, ww):>9.5f}")
            if ours is None:
                ours = by_host, by_day
                continue
            for i, what in ((0, "AUC"), (1, "skill")):
                low = [np.quantile(o[:, i] - t[:, i], 0.05) for o, t in zip(ours, (by_host, by_day))]
                high = [np.quantile(o[:, i] - t[:, i], 0.95) for o, t in zip(ours, (by_host, by_day))]
                verdict = "ahead" if min(low) > 0 else "behind" if max(high) < 0 else "no difference shown"
                print(f"      ours - this, {what}: {min(low):+.4f}..{max(high):+.4f}: {verdict}")


def main():
    name, path = sys.argv[1:]
    table = pq.read_table(path)
    print(f"== {name}")
    for horizon in sorted(int(c[2:]) for c in table.column_names if c.startswith("y_")):
        judge(table, horizon)


main()
