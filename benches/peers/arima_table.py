"""Prints the table of arima.sh. Arguments: our JSON, then those of the peers."""

import json
import sys


def main():
    ours, *peers = [json.load(open(path)) for path in sys.argv[1:]]
    own = ours["levels"][-1]
    rate = own["all_per_cpu_s"]
    print(f"fit, order, {ours['steps']} steps and bounds of {ours['samples']} samples; one thread each, per second of processor time")
    print(f"{'':34}{'series/s':>14}{'ours is faster by':>20}{'failed':>8}")
    for level in ours["levels"]:
        print(f"{'foreshade, ' + level['simd']:34}{level['all_per_cpu_s']:>14,.0f}{'':>20}{0:>8}")
    for name, peer in [row for p in peers for row in p.items()]:
        print(f"{name:34}{peer['per_s']:>14,.1f}{rate / peer['per_s']:>20,.0f}{peer['failed']:>8}")


if __name__ == "__main__":
    main()
