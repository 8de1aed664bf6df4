#!/bin/sh
# Anomaly detection beside its peers on nab, smd and asd, all in one run: tables on stdout.
#
#     FORESHADE_DATA=FOLDER benches/peers/anomaly.sh      # needs cargo and python3 with venv; installs its peers
#
# KEEP=DIR keeps the environment and the scores there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${FORESHADE_DATA:?set it to the folder of data sets}"
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q "numpy>=2,<3" "pandas" "pyarrow" "scikit-learn==1.9.1" "pyod==3.6.7" "stumpy==1.14.1"
(cd "$root" && cargo build -q --release -p foreshade-forecast --example anomaly_scores)
target=${CARGO_TARGET_DIR:-$root/target}
"$work/venv/bin/python" "$here/anomaly.py" "$FORESHADE_DATA" "$work/scores" "$target/release/examples/anomaly_scores" "$@"
