"""``make bench``: every benchmark, one after another, each beside its peers.

python -m benchmarks [NAME ...]
"""

import argparse
import subprocess
import sys
from pathlib import Path

_BENCHMARKS = ("embed", "search", "write", "start")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_BENCHMARKS))
    names = parser.parse_args().names or _BENCHMARKS
    if unknown := set(names) - set(_BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(_BENCHMARKS)}")
    for name in names:
        print(f"== {name} ==", flush=True)
        # Each in a process of its own: thread pools and memory of one would colour the next.
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        code = subprocess.run(command, check=False, cwd=Path(__file__).parents[1]).returncode
        if code:
            return code
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
