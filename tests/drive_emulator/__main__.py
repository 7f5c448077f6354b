"""Runs the emulator: ``python -m tests.drive_emulator [--port N] [--seed N]``.

Prints one JSON line with its address and a token for it, and stays until its standard input ends.
"""

import argparse
import json
import sys

from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.tokens import FILE_SCOPE

_READ_SCOPE = "https://www.googleapis.com/auth/drive.readonly"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drive_emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of faults that come by chance")
    chosen = parser.parse_args()
    with DriveEmulator(port=chosen.port, seed=chosen.seed) as emulator:
        token = emulator.token_json(FILE_SCOPE, _READ_SCOPE)
        print(json.dumps({"url": emulator.url, "token_json": token}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
