"""Google Drive as far as the gateway knows it, on a port of this machine, failing where a test wants it to."""

from tests.drive_emulator.faults import Fault, Faults
from tests.drive_emulator.server import DriveEmulator

__all__ = ["DriveEmulator", "Fault", "Faults"]
