#!/bin/sh
# M4 hourly, 48 h: the seasonal member beside statsforecast, all in one run and one after the other, one thread each.
#
#     benches/peers/m4_hourly.sh SERIES.parquet [AUTOARIMA_SERIES]    # needs cargo and python3 with venv; 12 min of processor time
#
# SERIES.parquet has the columns id, train, test, as host/forecast/tests/data/m4_hourly has. AutoARIMA takes half a minute a
# series and gets 8 of them unless told otherwise. KEEP=DIR keeps the environment and the figures there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
series=$1
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q "numpy==2.4.6" "pandas==2.3.3" "pyarrow==26.0.1" "statsforecast==2.1.1"
target=${CARGO_TARGET_DIR:-$root/target}
(cd "$root" && cargo build -q --release -p foreshade-forecast --example seasonal_m4)

"$target/release/examples/seasonal_m4" "$series" "$work/ours.parquet"
peers=""
for model in snaive24 snaive168 autoets mstl mstl_log mstl_arima mstl_arima_log autoarima; do
    count=0
    [ "$model" != autoarima ] || count=${2:-8}
    "$work/venv/bin/python" "$here/m4_hourly.py" "$series" "$model" "$work/$model.npz" "$count"
    peers="$peers $model=$work/$model.npz"
done
# shellcheck disable=SC2086  # one word per peer
"$work/venv/bin/python" "$here/m4_hourly_table.py" "$series" "$work/ours.parquet" $peers
