"""Fuzz what reads a pusher's bytes: `python -m fuzz [TARGET…] [--seconds 60]`, or `make fuzz`.

Each target begins with its corpus in `fuzz/corpus/`. What the fuzzer finds beside it goes to `build/fuzz/`, inputs that
break a promise as `TARGET-crash-…`; `--keep` takes what is new into the corpus, and drops what adds nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fuzz.targets import CORPUS, TARGETS

WORDS = Path(__file__).parent / "words"
WORK = Path("build/fuzz")


def drive(target: str, *options: str | Path) -> int:
    """Run libFuzzer on a target, in a process of its own: it ends its process."""
    return subprocess.call([sys.executable, "-m", "fuzz.drive", target, *map(str, options)])


def fuzz(target: str, seconds: int) -> int:
    found = WORK / target
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-dict={WORDS / target}.dict", f"-artifact_prefix={WORK}/{target}-"]
    print(f"== {target}: {seconds} s", flush=True)
    return drive(target, *options, "-verbosity=0", "-print_final_stats=1", found, CORPUS / target)


def keep(target: str) -> int:
    """Merge what was found into the corpus: the fewest and smallest inputs that reach everything."""
    merged = WORK / f"{target}-merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    status = drive(target, "-merge=1", merged, CORPUS / target, WORK / target)
    if status == 0 and any(merged.iterdir()):
        shutil.rmtree(CORPUS / target)
        (CORPUS / target).mkdir()
        for each in sorted(merged.iterdir()):
            data = each.read_bytes()
            (CORPUS / target / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help=f"{', '.join(TARGETS)}; all where none")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target is fuzzed (60)")
    parser.add_argument("--keep", action="store_true", help="take what was found into the corpus")
    options = parser.parse_args()
    if find_spec("atheris") is None:
        print("atheris is not installed: pip install 'gitreg[fuzz]' (Linux on x86-64 has wheels)", file=sys.stderr)
        return 2
    failed = [target for target in options.targets or TARGETS if fuzz(target, options.seconds)]
    if options.keep:
        failed += [target for target in options.targets or TARGETS if target not in failed and keep(target)]
    print(f"broken: {', '.join(failed)}; see {WORK}/" if failed else "no promise was broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
