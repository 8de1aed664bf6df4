#!/bin/sh
# The LSTM step against ONNX Runtime and PyTorch, in turns on one machine: a table and its ratios on stdout, raw JSON in OUT.
#
#   benches/peers/lstm.sh [SECONDS_PER_FIGURE] [ROUNDS]
#
# PYTHON names an interpreter with numpy, onnx, onnxruntime and torch (default python3). OUT is a folder (default target/peers).
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-1} rounds=${2:-3} python=${PYTHON:-python3} out=${OUT:-target/peers}
mkdir -p "$out"
rm -f "$out"/lstm_ours.*.json "$out"/lstm_onnx.*.json "$out"/lstm_torch.*.json
cargo build --release --quiet -p foreshade-fallback-cpu --example lstm_bench
bench=${CARGO_TARGET_DIR:-target}/release/examples/lstm_bench
for round in $(seq "$rounds"); do
    "$bench" "$seconds" > "$out/lstm_ours.$round.json"
    "$python" benches/peers/lstm_onnx.py "$seconds" > "$out/lstm_onnx.$round.json"
    "$python" benches/peers/lstm_torch.py "$seconds" > "$out/lstm_torch.$round.json"
done
"$python" benches/peers/lstm_table.py "$out"
