"""``twin import``: every photo of a folder into a gallery.

It can be stopped and started again at any moment: a photo's id follows from its gallery and its bytes, so what is there
already is answered as such, before any work is done on it.
"""

import asyncio
import collections
import contextlib
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from rich.console import Console
from twin.gateway.v1 import gateway_pb2

from cli.errors import PASSING, CommandError
from cli.import_gallery import Gateway, import_into
from cli.import_progress import import_progress
from cli.import_report import ImportReport, Outcome
from cli.photo_file import UnreadablePhoto, read_photo, sendable
from cli.settings import ClientSettings
from cli.walk import files_under, photos_under
from runtime.photo_files import is_photo, other_image_suffix
from runtime.photo_metadata import MAX_METADATA_BYTES, PhotoMetadata, is_metadata
from runtime.status import error_info, retry_delay_s, status_from_rpc_error

# Photos under way at once: enough to keep the embedder busy while others travel.
_WORKERS: Final = 6
_CALL_TIMEOUT_S: Final = 60.0
# How long one photo is tried while the service says that it is busy or away.
_PATIENCE_S: Final = 300.0
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 8.0
# What is wrong with one photo, and no reason to stop the others ...
_ABOUT_THE_PHOTO: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INTERNAL,
    }
)
# ... unless every other photo would meet the same.
_ABOUT_THE_SETTING: Final = frozenset({"MODEL_MISMATCH", "CONSENT_MISSING"})
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "find-your-twin/import")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import, and where to."""

    folder: Path
    gallery: str
    collection: str
    all_faces: bool
    # Each photo's folder is named after the person in it.
    person_from_folder: bool
    report: Path


def photo_id_of(gallery: str, image: bytes) -> str:
    """Returns the id that these bytes always have in this gallery."""
    return str(uuid.uuid5(_NAMESPACE, f"{gallery}/{hashlib.sha256(image).hexdigest()}"))


def import_photos(options: ImportOptions, settings: ClientSettings, console: Console) -> int:
    """Imports the folder, showing its progress; returns 0 when every photo is in the gallery, 1 when some were skipped.

    Raises CommandError when the folder cannot be read or the services cannot be reached.
    """
    if not options.folder.is_dir():
        raise CommandError(f"{options.folder} is no folder")
    report = ImportReport(options.report)
    # The walk is made twice, since a list of millions of paths would take gigabytes.
    photo_count, other_count, metadata = _look_through(options.folder)
    if not photo_count and not other_count:
        raise CommandError(f"{options.folder} holds no photos that can be read (.jpg, .jpeg, .png, .webp)")
    photos = photos_under(
        options.folder,
        lambda folder, error: report.skipped(str(folder), "UNREADABLE_FOLDER", error.strerror or str(error)),
        report.of_another_kind,
    )
    try:
        with import_progress(console) as progress:
            task = progress.add_task("Importing", total=photo_count)
            importing = _Import(options, settings, report, metadata, lambda: progress.advance(task))
            if photo_count:
                asyncio.run(importing.run(photos))
            else:
                # No service is needed to tell what else is there, and no gallery.
                collections.deque(photos, maxlen=0)
    finally:
        report.close()
        report.tell(console)
    return 1 if report.counts[Outcome.SKIPPED] else 0


def _look_through(folder: Path) -> tuple[int, int, PhotoMetadata]:
    """Counts the photos and the images of other kinds, and reads what files beside them say of them."""
    photo_count = other_count = 0
    metadata = PhotoMetadata()
    for file in files_under(folder, lambda _folder, _error: None):
        if is_photo(file.name):
            photo_count += 1
        elif other_image_suffix(file.name):
            other_count += 1
        elif is_metadata(file.name) and file.is_file() and file.stat().st_size <= MAX_METADATA_BYTES:
            metadata.add(_place(file, folder), file.read_bytes())
    return photo_count, other_count, metadata


def _place(file: Path, folder: Path) -> str:
    return sendable(file.relative_to(folder).as_posix())


class _Import:
    """A fixed number of workers that take photos from one walk, so that memory does not grow with the folder."""

    def __init__(
        self,
        options: ImportOptions,
        settings: ClientSettings,
        report: ImportReport,
        metadata: PhotoMetadata,
        step: Callable[[], None],
    ) -> None:
        self._options = options
        self._metadata = metadata
        self._settings = settings
        self._report = report
        self._step = step
        # Two files of the same bytes are one photo: the second waits for the first and finds it there.
        self._under_way: dict[str, asyncio.Event] = {}

    async def run(self, photos: Iterator[Path]) -> None:
        async with import_into(self._options.gallery, self._settings) as stub:
            workers = [asyncio.create_task(self._work(photos, stub)) for _ in range(_WORKERS)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()

    async def _work(self, photos: Iterator[Path], stub: Gateway) -> None:
        for photo in photos:
            await self._import_one(photo, stub)
            self._step()

    async def _import_one(self, photo: Path, stub: Gateway) -> None:
        try:
            image = await asyncio.to_thread(read_photo, photo)
        except UnreadablePhoto as error:
            self._report.skipped(str(photo), error.reason, str(error))
            return
        try:
            async with self._alone(photo_id_of(self._options.gallery, image)) as photo_id:
                answer = await self._add(photo, photo_id, image, stub)
        except grpc.RpcError as error:
            if not _is_the_photos_fault(error):
                raise
            self._report.skipped_by(str(photo), status_from_rpc_error(error))
            return
        if answer.already_present:
            self._report.unchanged()
        else:
            self._report.added(len(answer.faces))

    @contextlib.asynccontextmanager
    async def _alone(self, photo_id: str) -> AsyncIterator[str]:
        while (other := self._under_way.get(photo_id)) is not None:
            await other.wait()
        ended = self._under_way[photo_id] = asyncio.Event()
        try:
            yield photo_id
        finally:
            del self._under_way[photo_id]
            ended.set()

    async def _add(self, photo: Path, photo_id: str, image: bytes, stub: Gateway) -> gateway_pb2.AddPhotoResponse:
        """Adds one photo, coming back for as long as the service says that it is busy or away."""
        options = self._options
        facts = self._metadata.facts_of(_place(photo, options.folder))
        folder_name = photo.parent.name if options.person_from_folder else ""
        request = gateway_pb2.AddPhotoRequest(
            gallery=options.gallery,
            image=image,
            original_filename=sendable(photo.name),
            person=facts.person or sendable(folder_name),
            collection=facts.collection or sendable(options.collection),
            photo_id=photo_id,
            all_faces=options.all_faces,
            keep_duplicate=True,
        )
        delay_s = _FIRST_DELAY_S
        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await stub.AddPhoto(
                    request, timeout=_CALL_TIMEOUT_S, metadata=self._settings.admin_metadata(), wait_for_ready=False
                )
            except grpc.aio.AioRpcError as error:
                wait_s = max(delay_s, retry_delay_s(status_from_rpc_error(error)) or 0)
                if error.code() not in PASSING or time.monotonic() + wait_s > give_up_s:
                    raise
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)


def _is_the_photos_fault(error: grpc.RpcError) -> bool:
    info = error_info(status_from_rpc_error(error))
    return error.code() in _ABOUT_THE_PHOTO and (info is None or info.reason not in _ABOUT_THE_SETTING)
