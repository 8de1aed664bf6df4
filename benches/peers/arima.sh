#!/bin/sh
# Fit and forecast of ARIMA models beside its peers, all in one run and one after the other, on the same series.
#
#     benches/peers/arima.sh            # needs cargo and python3 with venv; installs NumPy and statsforecast beside itself
#
# KEEP=DIR keeps the environment and the figures there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 RAYON_NUM_THREADS=1

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q "numpy>=2,<3" "statsforecast==2.1.1"
target=${CARGO_TARGET_DIR:-$root/target}
(cd "$root" && cargo build -q --release -p foreshade-fallback-cpu --example arima_bench)
(cd "$here/anofox" && CARGO_TARGET_DIR=$work/anofox cargo build -q --release --locked)

"$work/venv/bin/python" "$here/arima_series.py" "$work"
"$target/release/examples/arima_bench" 16384 1 100 "$work/columns.f32" > "$work/ours.json"
"$work/venv/bin/python" "$here/arima_numpy.py" "$work/rows.f64" > "$work/numpy.json"
"$work/anofox/release/foreshade-peer-anofox" "$work/rows.f64" 600 300 20 > "$work/anofox.json"
"$work/venv/bin/python" "$here/arima_statsforecast.py" "$work/rows.f64" 100 6 > "$work/statsforecast.json"
"$work/venv/bin/python" "$here/arima_table.py" "$work/ours.json" "$work/numpy.json" "$work/anofox.json" "$work/statsforecast.json"
