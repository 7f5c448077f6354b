"""One CUDA device as the indexes of this process share it: its owner thread, its memory, FAISS's resources on it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import faiss

from runtime.errors import StartupError
from vectorstore.index.cuda_driver import CudaDriver, DeviceFull, Driver
from vectorstore.index.owner import DeviceOwner, OwnerLost

Answer = TypeVar("Answer")

# FAISS selects no more; asked for more, its brute-force search ends the process (FAISS_ASSERT, impl/Distance.cu).
MAX_SELECTED: Final = 2048
# Never given to rows: the queries', the answers' and cuBLAS's own memory. On a small device, an eighth of it.
_SPARE_BYTES: Final = 2**30
# What FAISS takes of a device at its first use: 1.5 GiB of scratch memory, and CUDA's context beside it.
SCRATCH_BYTES: Final = 2 * 2**30


class CudaDevice:
    """What indexes on the device work with. ``library``: FAISS's GPU classes, for the owner's thread alone."""

    def __init__(self, driver: Driver, library: Any, owner: DeviceOwner, number: int = 0) -> None:
        self.library = library
        self.number = number
        self.owner = owner
        self._driver = driver
        self.resources: Any = None
        owner.run(self._enter)

    def run(self, work: Callable[[], Answer]) -> Answer:
        """Runs the work in the owner's thread; an error of CUDA's own ends the owner."""
        return self.owner.run(lambda: guarded(work))

    def room_bytes(self) -> int:
        """Returns what rows may still take of the device's memory."""
        free, total = self._driver.memory()
        return max(0, free - min(_SPARE_BYTES, total // 8))

    @property
    def driver(self) -> Driver:
        """The device's memory; all but ``memory`` for the owner's thread alone."""
        return self._driver

    def _enter(self) -> None:
        self._driver.enter()
        # Rows are added and searched on FAISS's own streams, which wait for nobody: see Driver.synchronize.
        self.resources = self.library.StandardGpuResources()


def guarded(work: Callable[[], Answer]) -> Answer:
    """Runs work on the device; raises OwnerLost for what a CUDA context does not outlive, DeviceFull for no room."""
    try:
        return work()
    except RuntimeError as error:
        text = str(error)
        # StandardGpuResources.cpp: "cudaMalloc error out of memory [2]"; nothing else of its words is relied on.
        if "out of memory" in text or "cudaErrorMemoryAllocation" in text:
            raise DeviceFull("FAISS found no room on the device") from None
        if "CUDA error" in text or "cudaError" in text or "CUBLAS" in text:
            raise OwnerLost(text[:200]) from None
        raise


_lock: Final = threading.Lock()
_devices: Final[dict[int, CudaDevice]] = {}


def open_device(number: int = 0) -> CudaDevice:
    """Returns the device, the same for all indexes of the process; raises StartupError when there is none to use."""
    with _lock:
        if number not in _devices:
            if not hasattr(faiss, "StandardGpuResources"):
                raise StartupError(
                    "this FAISS has no CUDA kinds; install the extra vectorstore-gpu, or use another TWIN_INDEX"
                )
            driver = CudaDriver(number)
            if faiss.get_num_gpus() <= number:
                raise StartupError(f"FAISS finds no CUDA device {number}; check CUDA_VISIBLE_DEVICES and the driver")
            _devices[number] = CudaDevice(driver, faiss, DeviceOwner(f"CUDA device {number}"), number)
        return _devices[number]


async def watch_devices(interval_s: float = 1.0) -> None:
    """Raises what a device was lost by, whenever it was opened: for a supervised task, which turns health."""
    while True:
        with _lock:
            devices = list(_devices.values())
        for device in devices:
            if not device.owner.is_alive:
                await device.owner.watch()
        await asyncio.sleep(interval_s)


def cuda_memory_bytes(number: int = 0) -> tuple[int, int] | None:
    """Returns (free, total) bytes of the device, or None where CUDA kinds cannot be used."""
    if not hasattr(faiss, "StandardGpuResources"):
        return None
    with _lock:
        device = _devices.get(number)
    try:
        return (device.driver if device is not None else CudaDriver(number)).memory()
    except (StartupError, DeviceFull, OwnerLost, ValueError):
        return None
