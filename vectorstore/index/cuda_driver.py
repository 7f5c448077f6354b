"""The few calls of the CUDA driver that an index needs: memory of its own on the device, and how much there is.

FAISS's classes own the rows that they hold and grow by copying all of them, which takes twice the memory; rows in
memory of our own stay where they are. The driver's library comes with the driver itself, whatever CUDA a package was
built for; FAISS's runtime works in the same primary context.
"""

import ctypes
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import StartupError
from vectorstore.index.owner import OwnerLost

_LIBRARY: Final = "libcuda.so.1"
# CUresult, cuda.h.
_INVALID_VALUE: Final = 1
_OUT_OF_MEMORY: Final = 2


class DeviceFull(Exception):
    """The device has no room for what was asked."""


class Driver(Protocol):
    """Memory on one device, by address. All but ``name`` and ``memory`` are for the thread that called ``enter``."""

    # As its maker calls it.
    name: str

    def enter(self) -> None:
        """Makes the calling thread the one that uses the device."""

    def memory(self) -> tuple[int, int]:
        """Returns (free, total) bytes."""

    def allocate(self, size: int) -> int:
        """Returns the address of so many new bytes; raises DeviceFull."""

    def release(self, address: int) -> None:
        """Gives memory back."""

    def upload(self, address: int, rows: npt.NDArray[Any]) -> None:
        """Writes a contiguous array to the device; it may be changed afterwards."""

    def copy(self, address: int, source: int, size: int) -> None:
        """Copies bytes on the device, in the order of the calls; done once ``synchronize`` has returned."""

    def clear(self, address: int, size: int) -> None:
        """Overwrites bytes with zeros, in the order of the calls; done once ``synchronize`` has returned."""

    def synchronize(self) -> None:
        """Returns once everything that was asked of the device is done: FAISS's streams wait for nobody else's."""


class CudaDriver:
    """See Driver: the real one."""

    def __init__(self, device: int = 0) -> None:
        """Raises StartupError where there is no CUDA driver or no such device."""
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError:
            raise StartupError(
                f"no CUDA driver ({_LIBRARY}) is here; use another TWIN_INDEX, or a machine with a GPU"
            ) from None
        number = ctypes.c_int()
        self._context = ctypes.c_void_p()
        try:
            self._call("cuInit", ctypes.c_uint(0))
            self._call("cuDeviceGet", ctypes.byref(number), ctypes.c_int(device))
            name = ctypes.create_string_buffer(256)
            self._call("cuDeviceGetName", name, ctypes.c_int(len(name)), number)
            # Kept until the process ends, as FAISS's runtime keeps it.
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), number)
        except (DeviceFull, OwnerLost, ValueError) as error:
            raise StartupError(f"CUDA device {device} cannot be used: {error}") from None

        self.name = name.value.decode()

    def enter(self) -> None:
        """See Driver."""
        self._call("cuCtxSetCurrent", self._context)

    def memory(self) -> tuple[int, int]:
        """See Driver. For any thread: leaves the thread's context as it was."""
        before = ctypes.c_void_p()
        self._call("cuCtxGetCurrent", ctypes.byref(before))
        self.enter()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        try:
            self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        finally:
            self._call("cuCtxSetCurrent", before)
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """See Driver."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def release(self, address: int) -> None:
        """See Driver."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, rows: npt.NDArray[Any]) -> None:
        """See Driver."""
        if not rows.flags.c_contiguous:
            rows = np.ascontiguousarray(rows)
        self._call(
            "cuMemcpyHtoD_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(rows.ctypes.data),
            ctypes.c_size_t(rows.nbytes),
        )

    def copy(self, address: int, source: int, size: int) -> None:
        """See Driver."""
        self._call("cuMemcpyDtoD_v2", ctypes.c_uint64(address), ctypes.c_uint64(source), ctypes.c_size_t(size))

    def clear(self, address: int, size: int) -> None:
        """See Driver."""
        self._call("cuMemsetD8_v2", ctypes.c_uint64(address), ctypes.c_ubyte(0), ctypes.c_size_t(size))

    def synchronize(self) -> None:
        """See Driver."""
        self._call("cuCtxSynchronize")

    def _call(self, name: str, *arguments: Any) -> None:
        result: int = getattr(self._library, name)(*arguments)
        if result == 0:
            return
        if result == _OUT_OF_MEMORY:
            raise DeviceFull(f"{name}: the device has no room for it")
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(ctypes.c_int(result), ctypes.byref(text))
        message = f"{name}: {(text.value or b'unknown').decode()} ({result})"
        if result == _INVALID_VALUE:
            raise ValueError(message)
        # Nearly every other error stays with the context for good.
        raise OwnerLost(message)
