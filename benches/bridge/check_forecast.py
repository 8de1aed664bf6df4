"""Does a file that `foreshade forecast` wrote keep the contract? check_forecast.py INPUT.parquet OUT.parquet

Columns and types, resources that the input has, each (series, resource, origin, horizon) once, finite and with
quantiles in order, no origin outside the input's time. Prints what is wrong, one line each, and exits 1."""

import sys

import pandas as pd
import pyarrow.parquet as pq

QN = ["q05", "q50", "q90", "q95", "q99"]
COLUMNS = {"series": "string", "resource": "string", "origin": "timestamp[ms, tz=UTC]", "horizon_s": "int32"}
COLUMNS |= {c: "float" for c in ["mean"] + QN}
HORIZONS = {0, 300, 1800, 3600}


def complaints(input_path, out_path):
    schema = pq.read_schema(out_path)
    for name, kind in COLUMNS.items():
        found = str(schema.field(name).type) if name in schema.names else "missing"
        if found.replace("large_", "").replace("dictionary<values=string, indices=int32, ordered=0>", "string") != kind:
            yield f"column {name} is {found}, not {kind}"
            return
    given, out = pd.read_parquet(input_path), pd.read_parquet(out_path)
    key = ["series", "resource", "origin", "horizon_s"]
    if out.empty:
        yield "no forecast"
    if out.duplicated(key).any():
        yield f"{int(out.duplicated(key).sum())} forecasts occur twice"
    unknown = set(out.resource) - set(given.columns)
    if unknown:
        yield f"resources that the input lacks: {sorted(unknown)}"
    if set(out.horizon_s) != HORIZONS:
        yield f"horizons {sorted(set(out.horizon_s))}, not {sorted(HORIZONS)}"
    names = given["series" if "series" in given else "vm"].astype(str)
    strangers = set(out.series.astype(str)) - set(names)
    if strangers:
        yield f"series that the input lacks: {sorted(strangers)[:3]}"
    values = out[["mean"] + QN].to_numpy("float64")
    broken = ~pd.DataFrame(values).apply(lambda c: c.abs() < float("inf")).all(axis=1)
    if broken.any():
        yield f"{int(broken.sum())} forecasts are not finite"
    crossed = (out[QN].diff(axis=1).iloc[:, 1:] < 0).any(axis=1)
    if crossed.any():
        yield f"quantiles cross in {int(crossed.sum())} forecasts"
    if not out.origin.between(given.ts.min(), given.ts.max()).all():
        yield "an origin lies outside the input's time"
    print(f"{len(out)} forecasts of {out.series.nunique()} series, {out.origin.nunique()} origins")


if __name__ == "__main__":
    wrong = list(complaints(*sys.argv[1:3]))
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(bool(wrong))
