"""Sealed files: what is read is what was written, byte for byte, or it is refused."""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vectorstore.index import sealed_file
from vectorstore.index.saved_array import SavedArray
from vectorstore.index.sealed_file import DamagedFile, read_sealed, write_sealed

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks in a small file."""
    monkeypatch.setattr(sealed_file, "_CHUNK_BYTES", 8192)


def _arrays(rng: np.random.Generator) -> Arrays:
    return {
        "ids": np.arange(3000, dtype=np.int64) * 7,
        "vectors": rng.standard_normal((3000, 5)).astype(np.float32),
        "half": rng.standard_normal((17, 2, 3)).astype(np.float16),
        "flags": rng.random(101) < 0.5,
        "empty": np.empty((0, 8), np.uint8),
        "no texts": np.empty(0, np.int32),
    }


def _same(found: Arrays, wanted: Arrays) -> bool:
    return list(found) == list(wanted) and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in wanted.items()
    )


def test_what_is_read_is_what_was_written(tmp_path: Path, rng: np.random.Generator, small_chunks: None) -> None:
    arrays = _arrays(rng)
    seal = write_sealed(tmp_path / "file.bin", arrays)
    assert _same(read_sealed(tmp_path / "file.bin"), arrays)
    assert _same(read_sealed(tmp_path / "file.bin", seal), arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_arrays_are_written_piece_by_piece(tmp_path: Path, rng: np.random.Generator, small_chunks: None) -> None:
    whole = rng.standard_normal((1000, 48)).astype(np.float32)

    def pieces() -> Iterator[npt.NDArray[Any]]:
        reused = np.empty((7, 48), np.float32)
        for start in range(0, 1000, 7):
            piece = reused[: len(whole[start : start + 7])]
            piece[:] = whole[start : start + 7]
            yield piece

    write_sealed(tmp_path / "file.bin", {"rows": SavedArray(whole.dtype, whole.shape, pieces())})
    assert np.array_equal(read_sealed(tmp_path / "file.bin")["rows"], whole)


def test_arrays_are_views_of_the_file_on_pages(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = _arrays(rng)
    write_sealed(tmp_path / "file.bin", arrays)
    found = read_sealed(tmp_path / "file.bin")
    # The file may go: what is mapped stays.
    (tmp_path / "file.bin").unlink()
    for name in ("ids", "vectors", "half"):
        assert found[name].ctypes.data % mmap.PAGESIZE == 0
        assert not found[name].flags.writeable
        assert not found[name].flags.owndata
    assert _same(found, arrays)


def test_every_flipped_bit_is_found(tmp_path: Path, rng: np.random.Generator, small_chunks: None) -> None:
    path = tmp_path / "file.bin"
    write_sealed(path, _arrays(rng))
    content = path.read_bytes()
    places = {0, 7, 8, 15, 16, 17, len(content) - 1, len(content) - 33, len(content) - 41, len(content) - 73}
    places |= set(rng.choice(len(content), 1000, replace=False).tolist())
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            read_sealed(path)
    path.write_bytes(content)
    read_sealed(path)


def test_every_change_of_length_is_found(tmp_path: Path, rng: np.random.Generator, small_chunks: None) -> None:
    path = tmp_path / "file.bin"
    write_sealed(path, _arrays(rng))
    content = path.read_bytes()
    for length in [0, 1, 8, 40, 48, len(content) - 1, *rng.choice(len(content), 64, replace=False).tolist()]:
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFile):
            read_sealed(path)
    for more in (b"\0", bytes(32), content):
        path.write_bytes(content + more)
        with pytest.raises(DamagedFile):
            read_sealed(path)


def test_a_file_of_another_snapshot_is_refused(tmp_path: Path) -> None:
    seal = write_sealed(tmp_path / "one.bin", {"ids": np.arange(4)})
    write_sealed(tmp_path / "two.bin", {"ids": np.arange(5)})
    with pytest.raises(DamagedFile):
        read_sealed(tmp_path / "two.bin", seal)
    with pytest.raises(DamagedFile):
        read_sealed(tmp_path / "three.bin")


def test_a_table_that_lies_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed well by somebody else, or by a fault of ours."""
    tables = (
        b'[["ids", "<i8", [4], 999999999]]',
        b'[["ids", "<i8", [4611686018427387904, 4], 0]]',
        b'[["ids", "<i8", [-4], 0]]',
        b'[["ids", "<i8", [4], -4096]]',
        b'[["ids", "|O", [4], 0]]',
        b'[["ids", "<i8", [], 0]]',
        b'[["ids", "<i8"]]',
        b"[1]",
        b"{",
        b"\xff",
    )
    for table in tables:
        monkeypatch.setattr(sealed_file, "_make_table", lambda _arrays, table=table: table)
        write_sealed(tmp_path / "file.bin", {"ids": np.arange(4)})
        with pytest.raises(DamagedFile):
            read_sealed(tmp_path / "file.bin")


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[npt.NDArray[Any]]:
        yield np.zeros((3, 2), np.float32)
        raise OSError(28, "No space left on device")

    def unwanted() -> None:
        raise InterruptedError

    wanted = {"good": np.arange(4)}
    seal = write_sealed(tmp_path / "file.bin", wanted)
    with pytest.raises(OSError, match="No space"):
        write_sealed(tmp_path / "file.bin", {"a": SavedArray(np.dtype(np.float32), (9, 2), broken())})
    with pytest.raises(InterruptedError):
        write_sealed(tmp_path / "file.bin", {"a": np.zeros(9)}, unwanted)
    for piece in (np.zeros((3, 2)), np.zeros((3, 3), np.float32), np.zeros((4, 2), np.float32)):
        with pytest.raises(ValueError, match="piece"):
            write_sealed(tmp_path / "file.bin", {"a": SavedArray(np.dtype(np.float32), (3, 2), [piece])})
    with pytest.raises(ValueError, match="numbers"):
        write_sealed(tmp_path / "file.bin", {"a": np.array([object()])})
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]
    assert _same(read_sealed(tmp_path / "file.bin", seal), wanted)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_sealed(tmp_path / "file.bin", {"ids": np.arange(4)})
    assert [path.name for path in tmp_path.iterdir()] == []


def test_reading_leaves_no_thread_behind(tmp_path: Path, rng: np.random.Generator, small_chunks: None) -> None:
    write_sealed(tmp_path / "file.bin", _arrays(rng))
    before = threading.active_count()
    read_sealed(tmp_path / "file.bin")
    assert threading.active_count() == before
