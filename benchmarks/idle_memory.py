"""Memory that a virtual machine's host took back while nobody used it, fetched before something is measured."""

import subprocess
import sys


def fetch_memory(byte_count: int) -> None:
    """Has another process fill so much memory and end; blocking, two seconds for a gigabyte that the host had taken.

    What is measured next, and soon, then takes memory that is there, as it would on a machine of its own.
    """
    subprocess.run([sys.executable, "-S", "-c", f"b'.' * {byte_count:d}"], check=True)
