"""``make bench``: every benchmark of this folder, one after another, each beside its peers."""

import subprocess
import sys
from pathlib import Path

_BENCHMARKS = ("embed.py", "search.py")


def main() -> int:
    folder = Path(__file__).parent
    for name in _BENCHMARKS:
        print(f"== {name.removesuffix('.py')} ==", flush=True)
        # Each in a process of its own: thread pools and memory of one would colour the next.
        code = subprocess.run([sys.executable, str(folder / name)], check=False).returncode
        if code:
            return code
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
