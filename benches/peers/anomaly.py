"""Anomaly scores of ours and of peers on nab, smd and asd, by one protocol.

    anomaly.py DATA WORK ANOMALY_SCORES [dev|test [nab|smd|asd]]

Entities: a nab series, an smd or asd server. `dev` are those that the detector was developed on, `test` all others.
smd, asd: the train part comes first (unlabelled), the test part is scored. nab: the first 15 % come first, as in NAB.
An event is a labelled segment (nab: window), found when any of its samples passes a threshold. A false alarm is an hour
with such a sample but without any sample of an event: an alarm that never ends is many.

  budget     events found at one false alarm a week and at one a day per entity: the lowest threshold of the set that
             keeps it, the same choice for every method, made with the labels (an upper bound for all)
  AP         average precision of the samples, mean over entities with anomalies; chance = share of anomalous samples
  PA F1      best point-adjusted F1, mean over entities: inflated, shown with what random scores get
  own        ours alone: its own threshold, one false alarm a week stated, no labels
"""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

DEV = {
    "art_daily_no_noise", "art_daily_perfect_square_wave", "art_daily_small_noise", "art_flatline", "art_noisy",
    "art_daily_flatmiddle", "art_daily_jumpsdown", "art_daily_jumpsup", "art_load_balancer_spikes",
    "machine-1-6", "omi-1", "omi-2",
}  # fmt: skip
WINDOW = 12
SEED = 1


class Entity:
    def __init__(self, name, cadence_s, first, second, events, faults):
        self.name, self.cadence_s, self.first, self.second = name, cadence_s, first, second
        self.events, self.faults = events, faults
        self.label = np.zeros(len(second), bool)
        for a, b in events:
            self.label[a:b] = True

    @property
    def days(self):
        return len(self.second) * self.cadence_s / 86400


def nab(data):
    table = pd.read_parquet(data / "nab/series.parquet")
    for name, s in table.groupby("series", observed=True):
        s = s.drop_duplicates("ts", keep="last")
        cadence = int(s.ts.diff().dt.total_seconds().median())
        at = ((s.ts - s.ts.iloc[0]).dt.total_seconds() / cadence).round().astype(int).to_numpy()
        x = np.full(at[-1] + 1, np.nan, np.float32)
        window = np.zeros(len(x), bool)
        x[at], window[at] = s.value, s.in_window
        # A gap inside a window belongs to it.
        filled = pd.Series(np.where(np.isin(np.arange(len(x)), at), window, np.nan)).ffill().to_numpy() > 0
        cut = int(0.15 * len(x))
        edges = np.flatnonzero(np.diff(np.r_[0, filled[cut:].astype(int), 0]))
        yield Entity(name, cadence, x[:cut, None], x[cut:, None], list(zip(edges[::2], edges[1::2])), None)


def servers(data, what, cadence, inclusive):
    segments = pd.read_parquet(data / what / "segments.parquet")
    for path in sorted((data / what).glob("*_train.parquet")):
        name = path.name.removesuffix("_train.parquet")
        first = pd.read_parquet(path).filter(like="m").to_numpy(np.float32)
        second = pd.read_parquet(data / what / f"{name}_test.parquet").filter(regex="^m").to_numpy(np.float32)
        own = segments[segments.entity == name]
        events = [(a, b + inclusive) for a, b in zip(own.start, own.end)]
        faults = [[m - 1 for m in f] for f in own.metrics]
        yield Entity(name, cadence, first, second, events, faults)


# Methods: entity -> (score per sample of the second part, score per sample and metric or None)


def ours(entity, work, binary):
    parts = []
    for i, x in enumerate([entity.first, entity.second]):
        path = work / f"{entity.name}.{i}.parquet"
        pd.DataFrame(x, columns=[f"m{j + 1:02}" for j in range(x.shape[1])]).to_parquet(path)
        parts.append(path)
    out = work / f"{entity.name}.csv"
    # Half a point of what the publishers scaled to 0..1; the units of nab are not known.
    least = "0" if len(entity.first[0]) == 1 else "0.005"
    subprocess.run([binary, str(entity.cadence_s), str(1 / 7), least, out, *parts], check=True)
    names = ["row", "score", "kind"] + [f"m{j}" for j in range(entity.first.shape[1])]
    table = pd.read_csv(out, header=None, names=names, dtype={"kind": str})
    entity.own = table.kind.notna().to_numpy()
    for path in [*parts, out]:
        path.unlink()
    return table.score.to_numpy(), table.iloc[:, 3:].to_numpy()


def filled(entity):
    """Both parts without gaps: the last value stays; where the second begins."""
    both = pd.DataFrame(np.concatenate([entity.first, entity.second])).ffill().bfill().to_numpy(np.float64)
    return both, len(entity.first)


def three_sigma(entity):
    """Exponential mean and deviation of two days, the largest |z| of all metrics."""
    both, cut = filled(entity)
    frame = pd.DataFrame(both)
    span = 2 * 86400 / entity.cadence_s
    mean, std = frame.ewm(span=span).mean().shift(1), frame.ewm(span=span).std().shift(1)
    z = ((frame - mean).abs() / (std + 1e-3 * frame[:cut].std().max() + 1e-9)).fillna(0).to_numpy()[cut:]
    return z.max(1), z


def windows(both, width):
    """Row t: the last `width` values of every metric up to t; the first rows repeat the first value."""
    padded = np.concatenate([np.repeat(both[:1], width - 1, 0), both])
    view = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
    return view.reshape(len(both), -1)


def refits(entity, cut, n):
    """Where to fit again: servers once on their train part, nab every day on all samples before."""
    step = int(86400 / entity.cadence_s) if entity.first.shape[1] == 1 else n
    return range(cut, n, step), step


def isolation_forest(entity):
    from sklearn.ensemble import IsolationForest

    both, cut = filled(entity)
    # One column: 12 samples. Many: the sample, and its mean and deviation over 12, or 38 x 12 columns drown it.
    if both.shape[1] == 1:
        x = windows(both, WINDOW)
    else:
        roll = pd.DataFrame(both).rolling(WINDOW, min_periods=1)
        x = np.hstack([both, roll.mean(), roll.std().fillna(0)])
    score = np.zeros(len(both))
    starts, step = refits(entity, cut, len(both))
    for a in starts:
        forest = IsolationForest(n_estimators=100, random_state=SEED).fit(x[:a])
        score[a : a + step] = -forest.score_samples(x[a : a + step])
    return score[cut:], None


def ecod(entity):
    from pyod.models.ecod import ECOD

    both, cut = filled(entity)
    x = windows(both, WINDOW) if both.shape[1] == 1 else both
    score, each = np.zeros(len(both)), np.zeros((len(both), x.shape[1]))
    starts, step = refits(entity, cut, len(both))
    for a in starts:
        model = ECOD().fit(x[:a])
        # decision_function ranks the new samples among themselves too; a day or a test part at a time, as pyod does.
        score[a : a + step] = model.decision_function(x[a : a + step])
        each[a : a + step] = model.O[-len(x[a : a + step]) :]
    return score[cut:], each[cut:] if both.shape[1] > 1 else None


def left_discord(entity):
    """Distance of the last 24 samples to their nearest earlier neighbour (matrix profile)."""
    import stumpy

    both, cut = filled(entity)
    if both.shape[1] > 1:
        return None, None
    width = 24
    x = both[:, 0] + 1e-9 * np.arange(len(both))
    profile = stumpy.stump(x, width, normalize=False)
    left = profile.left_I_
    distance = np.zeros(len(x))
    for i, j in enumerate(left):
        if j >= 0:
            distance[i + width - 1] = np.linalg.norm(x[i : i + width] - x[j : j + width])
    return distance[cut:], None


# The protocol


def count(entity, alarm):
    """Events found; hours with an alarm outside events (those that hold a part of an event do not count)."""
    found = sum(alarm[a:b].any() for a, b in entity.events)
    hour = np.arange(len(alarm)) * entity.cadence_s // 3600
    hours = np.zeros((2, hour[-1] + 1), bool)
    hours[0, hour[alarm]], hours[1, hour[entity.label]] = True, True
    return found, (hours[0] & ~hours[1]).sum()


def at_budget(entities, scores, per_day):
    """The most events found at a threshold that keeps the budget over the set; its false alarms per day."""
    days = sum(e.days for e in entities)
    levels = np.unique(np.quantile(np.concatenate(scores), 1 - np.geomspace(1e-5, 0.2, 150)))
    best = (0, 0.0)
    for level in levels:
        found, false = np.sum([count(e, s > level) for e, s in zip(entities, scores)], 0)
        if false <= per_day * days and found > best[0]:
            best = (int(found), false / days)
    return best


def average_precision(label, score):
    from sklearn.metrics import average_precision_score

    return average_precision_score(label, score)


def adjusted_f1(entity, score):
    """Best F1 when one hit counts for its whole segment."""
    s = score.copy()
    for a, b in entity.events:
        s[a:b] = s[a:b].max()
    order = np.argsort(-s, kind="stable")
    hit = np.cumsum(entity.label[order])
    last = np.r_[np.flatnonzero(np.diff(s[order])), len(s) - 1]
    tp, n = hit[last], last + 1
    return (2 * tp / (n + entity.label.sum())).max()


def blame(entities, each):
    """Of the metrics at fault, the share among as many (and half as many more) of those named first; the share of
    events whose first name is right. At the sample of the event where the method's metrics say most."""
    hits = []
    for e, m in zip(entities, each):
        for (a, b), fault in zip(e.events, e.faults):
            named = np.argsort(-m[a:b].max(0), kind="stable")
            k = len(fault)
            part = lambda n: len(set(named[:n]) & set(fault)) / k
            hits.append((named[0] in fault, part(k), part(int(1.5 * k)), k / m.shape[1]))
    return np.mean(hits, 0)


def random_scores(entity):
    return np.random.default_rng(SEED).random(len(entity.second)), None


def report(name, entities, work, binary):
    events = sum(len(e.events) for e in entities)
    days = sum(e.days for e in entities)
    with_events = [i for i, e in enumerate(entities) if e.events]
    share = np.mean([entities[i].label.mean() for i in with_events])
    print(f"\n{name}: {len(entities)} entities, {days:.0f} days, {events} events; chance AP {share:.3f}")
    print(f"  {'':24}  found at 1/week  found at 1/day      AP   PA F1   seconds   first  blame  x 1.5")
    methods = {
        "ours": lambda e: ours(e, work, binary),
        "isolation forest": isolation_forest,
        "ECOD": ecod,
        "EWMA 3 sigma": three_sigma,
        "left discord": left_discord,
        "random": random_scores,
    }
    for method, run in methods.items():
        start = time.process_time()
        clock = time.time()
        results = [run(e) for e in entities]
        scores = [np.nan_to_num(s) if s is not None else None for s, _ in results]
        if any(s is None for s in scores):
            continue
        seconds = time.time() - clock if method == "ours" else time.process_time() - start
        week, day = at_budget(entities, scores, 1 / 7), at_budget(entities, scores, 1.0)
        ap = np.mean([average_precision(entities[i].label, scores[i]) for i in with_events])
        pa = np.mean([adjusted_f1(entities[i], scores[i]) for i in with_events])
        line = f"  {method:24}  {week[0]:7d} of {events:3d}  {day[0]:6d} of {events:3d}  {ap:6.3f}  {pa:6.3f}  {seconds:8.1f}"
        if entities[0].faults and results[0][1] is not None:
            first, right, wide, _ = blame(entities, [m for _, m in results])
            line += f"  {first:6.2f} {right:6.2f} {wide:6.2f}"
        print(line, flush=True)
    found, false = np.sum([count(e, e.own) for e in entities], 0)
    alarms = sum(int(e.own.sum()) for e in entities)
    print(f"  ours, own threshold       {found:7d} of {events:3d}; {false / days:.2f} false alarms a day, {alarms} alarms")


def main():
    # Columns that never change: pyod says so once per fit.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    data, work, binary = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    work.mkdir(parents=True, exist_ok=True)
    parts = sys.argv[4:5] or ["dev", "test"]
    sets = {
        "nab": list(nab(data)),
        "smd": list(servers(data, "smd", 60, 0)),
        "asd": list(servers(data, "asd", 300, 1)),
    }
    for part in parts:
        for name, entities in sets.items():
            if name not in (sys.argv[5:] or sets):
                continue
            chosen = [e for e in entities if (e.name in DEV) == (part == "dev")]
            report(f"{name} {part}", chosen, work, binary)


if __name__ == "__main__":
    main()
