"""Arrays in a file that is either exactly what was written or refused.

FAISS loads a file with a flipped byte without a word, so the checksums are ours. Layout:

    magic (8 bytes), length of the table (8), the table as JSON: for each array its name, dtype, shape and place;
    the arrays, each beginning on a page, so that it can be used straight from a memory map;
    SHA-256 of each 4 MiB of all that;
    length of what those cover (8), and the seal: SHA-256 of the magic, that length and the checksums.

The seal is checked first, then the chunks on all cores, and nothing is believed that was not checked before.
"""

import hashlib
import json
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from runtime import failpoints
from vectorstore.index.saved_array import SavedArray

_MAGIC: Final = b"TWINSEA2"
_CHUNK_BYTES: Final = 4 * 2**20
_DIGEST_BYTES: Final = 32
_LENGTH_BYTES: Final = 8
_PAGE_BYTES: Final = 4096
# The kernel is made to write this often, so that the end does not stall the disk for everyone.
_SYNC_BYTES: Final = 64 * 2**20
_MAX_THREADS: Final = 16
# Numbers and truth values; nothing that holds references.
_KINDS: Final = "biuf"


class DamagedFile(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one array lies in the file."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def size_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def write_sealed(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any] | SavedArray],
    check_wanted: Callable[[], None] = lambda: None,
) -> str:
    """Writes the arrays: into a temporary file beside it, synced, renamed, and the folder synced.

    Returns the file's seal, as hexadecimal digits: no other content has it. check_wanted: called now and then, to end
    the work by raising. Raises OSError, ValueError for pieces that do not make up their array; nothing is left then.
    """
    saved = {name: array if isinstance(array, SavedArray) else SavedArray.of(array) for name, array in arrays.items()}
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb", buffering=0) as file:
            seal = _write(_ChunkWriter(file, check_wanted), saved)
            failpoints.reach("snapshot.before_fsync")
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return seal


def read_sealed(path: Path, seal: str | None = None) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays as read-only views of one memory map, which lives as long as any of them.

    seal: what ``write_sealed`` returned, where that is known. Raises DamagedFile, also when the file is missing.
    """
    try:
        with path.open("rb", buffering=0) as file:
            length = _verify(file, path.name, seal)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        places = _read_table(mapped, length)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedFile(f"{path.name} cannot be read ({type(error).__name__})") from error
    return {place.name: _view(mapped, place) for place in places}


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _ChunkWriter:
    """Gathers bytes into chunks, each hashed and written."""

    def __init__(self, file: BinaryIO, check_wanted: Callable[[], None]) -> None:
        self._file = file
        self._check_wanted = check_wanted
        self._chunk = bytearray(_CHUNK_BYTES)
        self._filled = 0
        self._unsynced = 0
        self.position = 0
        self.digests: list[bytes] = []

    def write(self, data: memoryview) -> None:
        """Adds bytes; ``data`` is of single bytes."""
        while len(data):
            count = min(len(data), _CHUNK_BYTES - self._filled)
            self._chunk[self._filled : self._filled + count] = data[:count]
            self._filled += count
            self.position += count
            data = data[count:]
            if self._filled == _CHUNK_BYTES:
                self.flush()

    def pad(self) -> None:
        """Goes on to the next page."""
        self.write(memoryview(bytes(-self.position % _PAGE_BYTES)))

    def flush(self) -> None:
        """Hashes and writes what is gathered, as a chunk."""
        if not self._filled:
            return
        self._check_wanted()
        chunk = memoryview(self._chunk)[: self._filled]
        self.digests.append(hashlib.sha256(chunk).digest())
        self.write_raw(chunk)
        self._unsynced += self._filled
        self._filled = 0
        if self._unsynced >= _SYNC_BYTES:
            os.fdatasync(self._file.fileno())
            self._unsynced = 0

    def write_raw(self, data: memoryview | bytes) -> None:
        """Writes all of the bytes, past the chunks."""
        left = memoryview(data)
        while len(left):
            left = left[self._file.write(left) :]


def _write(writer: _ChunkWriter, arrays: Mapping[str, SavedArray]) -> str:
    table = _make_table(arrays)
    writer.write(memoryview(_MAGIC + len(table).to_bytes(_LENGTH_BYTES, "little") + table))
    for name, array in arrays.items():
        failpoints.reach("snapshot.writing")
        writer.pad()
        rows = 0
        for piece in array.pieces:
            if piece.dtype != array.dtype or piece.shape[1:] != array.shape[1:]:
                raise ValueError(f"a piece of {name} is {piece.dtype} {piece.shape}")
            if piece.size:
                writer.write(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
            rows += len(piece)
        if rows != array.shape[0]:
            raise ValueError(f"the pieces of {name} have {rows} rows, not {array.shape[0]}")
    writer.flush()
    end = writer.position.to_bytes(_LENGTH_BYTES, "little")
    digests = b"".join(writer.digests)
    seal = hashlib.sha256(_MAGIC + end + digests)
    writer.write_raw(digests + end + seal.digest())
    return seal.hexdigest()


def _make_table(arrays: Mapping[str, SavedArray]) -> bytes:
    """Returns the table of the arrays; offsets count from the first page after the table."""
    table, offset = [], 0
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS or not array.shape:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; only arrays of numbers can be sealed")
        place = _Place(name, array.dtype, array.shape, offset)
        table.append([name, array.dtype.str, list(array.shape), offset])
        offset += place.size_bytes + -place.size_bytes % _PAGE_BYTES
    return json.dumps(table).encode()


def _read_table(mapped: mmap.mmap, length: int) -> list[_Place]:
    """Returns the arrays' places, each inside the first ``length`` bytes; raises ValueError, TypeError or KeyError."""
    start = len(_MAGIC) + _LENGTH_BYTES
    end = start + int.from_bytes(mapped[len(_MAGIC) : start], "little")
    if end > length:
        raise ValueError("the table ends beyond the file")
    first = end + -end % _PAGE_BYTES
    places = []
    for name, dtype, shape, offset in json.loads(mapped[start:end]):
        place = _Place(str(name), np.dtype(dtype), tuple(int(size) for size in shape), first + int(offset))
        if place.dtype.kind not in _KINDS or not place.shape or min(place.shape) < 0 or offset < 0:
            raise ValueError("an array that cannot be")
        if place.size_bytes and place.offset + place.size_bytes > length:
            raise ValueError("an array ends beyond the file")
        places.append(place)
    return places


def _view(mapped: mmap.mmap, place: _Place) -> npt.NDArray[Any]:
    if not place.size_bytes:
        return np.empty(place.shape, place.dtype)
    count = place.size_bytes // place.dtype.itemsize
    return np.frombuffer(mapped, place.dtype, count, place.offset).reshape(place.shape)


def _verify(file: BinaryIO, name: str, seal: str | None) -> int:
    """Returns the length of what the checksums cover; raises DamagedFile unless every byte is as it was written."""
    size = os.fstat(file.fileno()).st_size
    tail = _LENGTH_BYTES + _DIGEST_BYTES
    if size < len(_MAGIC) + tail or os.pread(file.fileno(), len(_MAGIC), 0) != _MAGIC:
        raise DamagedFile(f"{name} is no sealed file")
    end = os.pread(file.fileno(), tail, size - tail)
    length = int.from_bytes(end[:_LENGTH_BYTES], "little")
    digest_bytes = -(-length // _CHUNK_BYTES) * _DIGEST_BYTES
    if length + digest_bytes + tail != size:
        raise DamagedFile(f"{name} is not as long as it was")
    digests = os.pread(file.fileno(), digest_bytes, length)
    found = hashlib.sha256(_MAGIC + end[:_LENGTH_BYTES] + digests)
    if found.digest() != end[_LENGTH_BYTES:] or seal not in (None, found.hexdigest()):
        raise DamagedFile(f"{name} does not match its seal")
    for position in _wrong_chunks(file.fileno(), length, digests):
        raise DamagedFile(f"{name} does not match its checksum at {position}")
    return length


def _wrong_chunks(descriptor: int, length: int, digests: bytes) -> Iterator[int]:
    """Yields where chunks are not what they were. Read and not mapped: a disk that fails is an error, not a crash."""
    chunk_count = -(-length // _CHUNK_BYTES)
    thread_count = min(_MAX_THREADS, os.cpu_count() or 1, max(1, chunk_count))

    def first_wrong(thread: int) -> int | None:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        for chunk in range(thread, chunk_count, thread_count):
            data = buffer[: min(_CHUNK_BYTES, length - chunk * _CHUNK_BYTES)]
            is_whole = os.preadv(descriptor, [data], chunk * _CHUNK_BYTES) == len(data)
            digest = digests[chunk * _DIGEST_BYTES : (chunk + 1) * _DIGEST_BYTES]
            if not is_whole or hashlib.sha256(data).digest() != digest:
                return chunk * _CHUNK_BYTES
        return None

    with ThreadPoolExecutor(thread_count) as threads:
        yield from (position for position in threads.map(first_wrong, range(thread_count)) if position is not None)
