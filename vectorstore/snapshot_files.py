"""The folder of the snapshot: written beside the last one, renamed into its place, checked when it is read.

A snapshot is a folder with one sealed file for each gallery's index and one for its catalog, and a sealed manifest that
names them by their seals. It holds vectors, so nothing of an old one stays: not the last one, not what a killed process
had begun. A damaged one is kept aside, one at most, until the next one is written.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime import failpoints
from vectorstore.catalog_state import CatalogState
from vectorstore.index.saved_array import SavedArray
from vectorstore.index.sealed_file import read_sealed, sync_folder, write_sealed

FORMAT: Final = 2
_MANIFEST: Final = "manifest.bin"
_NAME: Final = "snapshot"
_NEW: Final = f"{_NAME}.new"
_OLD: Final = f"{_NAME}.old"
_DAMAGED: Final = f"{_NAME}.damaged-"
# Room that a snapshot leaves on the disk, which PostgreSQL may share: this much, or this share of a small disk.
_SPARE_BYTES: Final = 256 * 2**20
_SPARE_SHARE: Final = 0.05

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class CapturedGallery:
    """One gallery at a moment; what it holds does not change while it is written."""

    gallery_id: int
    # Name, model and dimension.
    identity: list[Any]
    last_face_id: int
    # The kind of its index.
    kind: str
    index: Mapping[str, SavedArray]
    catalog: CatalogState


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """What the manifest says of a gallery; the seals are those of its two files."""

    identity: list[Any]
    last_face_id: int
    kind: str
    index_seal: str
    catalog_seal: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself. origin: what tells the database and its history from every other one."""

    revision: int
    origin: dict[str, Any]
    galleries: dict[int, GalleryEntry]


class SnapshotFolder:
    """The folder that holds the snapshot; all of it blocking, for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / _NAME

    def write(
        self,
        revision: int,
        origin: dict[str, Any],
        galleries: Sequence[CapturedGallery],
        check_wanted: Callable[[], None],
    ) -> tuple[Manifest, int]:
        """Puts a snapshot in the place of the last one; returns what it says and its size in bytes.

        check_wanted: called now and then, to end the work by raising. Raises OSError; the last one stays then.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.clean()
        self._check_room(galleries)
        temporary = self._folder / _NEW
        temporary.mkdir(mode=0o700)
        try:
            manifest = Manifest(
                revision,
                origin,
                {gallery.gallery_id: _write_gallery(temporary, gallery, check_wanted) for gallery in galleries},
            )
            content = json.dumps({"format": FORMAT, **asdict(manifest)}).encode()
            write_sealed(temporary / _MANIFEST, {"manifest": np.frombuffer(content, np.uint8)})
            size_bytes = sum(path.stat().st_size for path in temporary.iterdir())
            failpoints.reach("snapshot.before_rename")
            # Whoever waited for it may be gone, and another process at work in this folder.
            check_wanted()
            self._put_in_place(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for path in self._folder.glob(f"{_DAMAGED}*"):
            shutil.rmtree(path, ignore_errors=True)
        return manifest, size_bytes

    def _put_in_place(self, temporary: Path) -> None:
        old = self._folder / _OLD
        if self._place.exists():
            self._place.rename(old)
            failpoints.reach("snapshot.between_renames")
        temporary.rename(self._place)
        failpoints.reach("snapshot.renamed")
        sync_folder(self._folder)
        # It holds vectors of photos that were deleted since.
        shutil.rmtree(old, ignore_errors=True)

    def _check_room(self, galleries: Sequence[CapturedGallery]) -> None:
        wanted = sum(array.nbytes for gallery in galleries for array in gallery.index.values())
        wanted += sum(gallery.catalog.nbytes for gallery in galleries)
        disk = shutil.disk_usage(self._folder)
        if disk.free < wanted + min(_SPARE_BYTES, int(_SPARE_SHARE * disk.total)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def clean(self) -> None:
        """Ends what a killed process had begun: puts the last snapshot back, drops what was not in its place."""
        old = self._folder / _OLD
        if old.exists() and not self._place.exists():
            old.rename(self._place)
        for leftover in (self._folder / _NEW, old):
            shutil.rmtree(leftover, ignore_errors=True)

    def exists(self) -> bool:
        """Tells whether there is a snapshot, whatever its state."""
        return self._place.exists()

    def time(self) -> datetime:
        """Returns when the snapshot was written."""
        return datetime.fromtimestamp((self._place / _MANIFEST).stat().st_mtime, UTC)

    def size_bytes(self) -> int:
        """Returns the size of the snapshot's files."""
        return sum(path.stat().st_size for path in self._place.iterdir())

    def read_manifest(self) -> Manifest:
        """Returns what the snapshot says of itself; raises DamagedFile, ValueError when it is of another format."""
        told = json.loads(read_sealed(self._place / _MANIFEST)["manifest"].tobytes())
        if told["format"] != FORMAT:
            raise ValueError("it is of another format")
        galleries = {int(key): GalleryEntry(**entry) for key, entry in told["galleries"].items()}
        return Manifest(int(told["revision"]), told["origin"], galleries)

    def read_gallery(self, gallery_id: int, entry: GalleryEntry) -> tuple[Arrays, Arrays]:
        """Returns the arrays of a gallery's index and catalog, mapped; raises DamagedFile."""
        index_path, catalog_path = (self._place / name for name in _file_names(gallery_id))
        return read_sealed(index_path, entry.index_seal), read_sealed(catalog_path, entry.catalog_seal)

    def set_aside(self) -> Path:
        """Keeps a damaged snapshot under another name, in the place of an earlier one; returns where."""
        for path in self._folder.glob(f"{_DAMAGED}*"):
            shutil.rmtree(path, ignore_errors=True)
        aside = self._folder / f"{_DAMAGED}{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self._place.rename(aside)
        sync_folder(self._folder)
        return aside

    def remove(self) -> None:
        """Removes the snapshot, and a damaged one that was kept aside."""
        for path in (self._place, self._folder / _OLD, self._folder / _NEW, *self._folder.glob(f"{_DAMAGED}*")):
            shutil.rmtree(path, ignore_errors=True)


def _write_gallery(folder: Path, gallery: CapturedGallery, check_wanted: Callable[[], None]) -> GalleryEntry:
    index_name, catalog_name = _file_names(gallery.gallery_id)
    return GalleryEntry(
        gallery.identity,
        gallery.last_face_id,
        gallery.kind,
        write_sealed(folder / index_name, gallery.index, check_wanted),
        write_sealed(folder / catalog_name, gallery.catalog.to_arrays(), check_wanted),
    )


def _file_names(gallery_id: int) -> tuple[str, str]:
    return f"index-{gallery_id}.bin", f"catalog-{gallery_id}.bin"
