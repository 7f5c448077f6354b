"""Memory that a virtual machine's host took back while nobody used it, fetched before something is measured."""

import subprocess
import sys

import psutil


def fetch_memory(byte_count: int) -> None:
    """Has another process fill so much memory and end; blocking, two seconds for a gigabyte that the host had taken.

    What is measured next, and soon, then takes memory that is there, as it would on a machine of its own. No more than
    is free, so that files stay in memory which are there.
    """
    byte_count = min(byte_count, psutil.virtual_memory().free)
    subprocess.run([sys.executable, "-S", "-c", f"b'.' * {byte_count:d}"], check=True)
