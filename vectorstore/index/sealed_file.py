"""Arrays in a file that is either exactly what was written or refused.

FAISS loads a file with a flipped byte without a word, so the checksum is ours. Layout: 8 bytes of magic, the count and
the names of the arrays as one JSON line, the arrays in numpy's own format (never pickled), SHA-256 of everything
before it.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

_MAGIC: Final = b"TWINSEAL"
_DIGEST_BYTES: Final = 32
_CHUNK_BYTES: Final = 2**20


class DamagedFile(Exception):
    """The file is not what was written."""


class _Hashing(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def write_sealed(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes the arrays: into a temporary file beside it, synced, renamed, and the folder synced."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        sealed = _Hashing(file)
        sealed.write(_MAGIC)
        sealed.write(json.dumps(list(arrays)).encode() + b"\n")
        for array in arrays.values():
            np.lib.format.write_array(sealed, np.ascontiguousarray(array), allow_pickle=False)
        file.write(sealed.digest.digest())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def read_sealed(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays; raises DamagedFile, also when the file is missing or short."""
    try:
        with path.open("rb") as file:
            _verify(file, path)
            file.seek(len(_MAGIC))
            names = json.loads(file.readline())
            return {name: np.lib.format.read_array(file, allow_pickle=False) for name in names}
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path.name} cannot be read ({type(error).__name__})") from error


def _verify(file: BinaryIO, path: Path) -> None:
    left = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    if left < len(_MAGIC) or file.read(len(_MAGIC)) != _MAGIC:
        raise DamagedFile(f"{path.name} is no sealed file")
    digest = hashlib.sha256(_MAGIC)
    left -= len(_MAGIC)
    while left > 0:
        chunk = file.read(min(_CHUNK_BYTES, left))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
    if file.read() != digest.digest():
        raise DamagedFile(f"{path.name} does not match its checksum")


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
