"""Run the differential test for long: `python -m tests.differential --pushes 100000`, or `make soak`."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.differential.compare import PUSHES, Tally, run

BATCH = 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--pushes", type=int, default=100_000, help="how many pushes are made (100,000)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="where the seeds begin")
    parser.add_argument("--workers", type=int, default=2, help="how many processes share the work (2)")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + -(-options.pushes // PUSHES))
    batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
    whole, began = Tally(), time.monotonic()
    with ProcessPoolExecutor(options.workers) as pool:
        for tally in pool.map(run, batches):
            whole.pushes += tally.pushes
            whole.accepted += tally.accepted
            whole.codes.update(tally.codes)
            for disagreement in tally.disagreements:
                print(disagreement, flush=True)
            whole.disagreements += tally.disagreements
    share = whole.accepted / whole.pushes
    print(f"{whole.pushes:,} pushes in {time.monotonic() - began:.0f} s, {share:.0%} accepted")
    print(", ".join(f"{code} {count:,}" for code, count in whole.codes.most_common()))
    print(f"{len(whole.disagreements)} disagreements")
    return 1 if whole.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
