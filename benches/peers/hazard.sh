#!/bin/sh
# Fits the hazard models anew and judges them beside their peers on the same rows, one after the other, on one thread.
#
#     FORESHADE_DATA=DIR benches/peers/hazard.sh [OUT]   # needs cargo and python3 with venv; installs scikit-learn beside itself
#
# OUT receives models and cards (models/hazard to remake the shipped ones). KEEP=DIR keeps the environment and the rows;
# SETS="lanl" takes one set instead of all three.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
data=${FORESHADE_DATA:?set it to the folder of data sets}
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
out=${1:-$work}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q "numpy>=2,<3" pyarrow "scikit-learn>=1.7,<2"
(cd "$root" && cargo build -q --release -p foreshade-forecast --example hazard_fit)
fit=${CARGO_TARGET_DIR:-$root/target}/release/examples/hazard_fit
sample=$root/host/forecast/tests/data/hazard
for name in ${SETS:-lanl grid5000 backblaze}; do
    case $name in
        lanl) file=lanl_failures/failures ;;
        grid5000) file=grid5000_availability/events ;;
        *) file=backblaze_smart/drive_days ;;
    esac
    "$fit" "$name" "$data/$file.parquet" "$sample/$name.parquet" "$out" "$work/$name.parquet"
    "$work/venv/bin/python" "$here/hazard.py" "$name" "$work/$name.parquet"
done
