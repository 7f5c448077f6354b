"""A change that fails in its middle, as for want of memory: nobody sees what it left, and a new start mends it."""

import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DependencyUnavailable, NotReady
from runtime.interceptor import BoundaryInterceptor
from tests.vectorstore.conftest import StartStore
from tests.vectorstore.index_conformance import units
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search
from vectorstore.catalog import Catalog
from vectorstore.catalog_face import CatalogFace
from vectorstore.gallery_view import GalleryView
from vectorstore.index.choose import IndexMaker
from vectorstore.index.locks import SharedLock
from vectorstore.records import CAUTIOUS_CALIBRATION, GalleryRecord, Source

Rng = np.random.Generator
CODE = grpc.StatusCode


def test_a_closed_lock_lets_nobody_in_who_waits_or_comes() -> None:
    lock, refusals = SharedLock(), []

    def want(take: Any) -> None:
        with pytest.raises(NotReady), take():
            pass
        refusals.append(1)

    threads = [threading.Thread(target=want, args=[take], daemon=True) for take in (lock.reading, lock.writing)]
    with lock.writing():
        for thread in threads:
            thread.start()
        lock.close()
        for thread in threads:
            thread.join(10)
    assert len(refusals) == 2
    want(lock.reading)
    want(lock.writing)


@pytest.fixture
def view(tmp_path: Path) -> Any:
    maker = IndexMaker("flat", tmp_path / "rows", 1)
    yield GalleryView(GalleryRecord(1, "default", MODEL, DIMENSION, CAUTIOUS_CALIBRATION, datetime.now(UTC)), maker)
    maker.close()


def _faces(*face_ids: int) -> list[CatalogFace]:
    photo_id = uuid.UUID(int=face_ids[0])
    return [CatalogFace(face_id, photo_id, None, "", "", Source("local", "key")) for face_id in face_ids]


def _fail_with(error: type[BaseException]) -> Any:
    def fail(*_: Any) -> None:
        raise error("no room")

    return fail


@pytest.mark.parametrize("error", [MemoryError, ValueError, KeyboardInterrupt])
def test_a_gallery_that_was_changed_in_part_is_searched_no_more(
    view: GalleryView, rng: Rng, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    view.add(_faces(1, 2), units(rng, 2, DIMENSION))
    with monkeypatch.context() as patch:
        patch.setattr(view.catalog, "remove", _fail_with(error))
        with pytest.raises(error):
            view.remove(np.array([1]))
    with pytest.raises(NotReady), view.lock.reading():
        pass


@pytest.mark.parametrize("error", [DependencyUnavailable, OSError])
def test_what_an_index_refuses_before_it_changes_leaves_the_gallery_as_it_was(
    view: GalleryView, rng: Rng, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    vectors = units(rng, 2, DIMENSION)
    with monkeypatch.context() as patch:
        patch.setattr(view.index, "add", _fail_with(error))
        with pytest.raises(error):
            view.add(_faces(1, 2), vectors)
    view.add(_faces(1, 2), vectors)
    with view.lock.reading():
        assert view.index.live_ids().tolist() == [1, 2]


async def test_a_store_that_ran_out_of_memory_in_an_add_gives_no_wrong_answer_and_is_well_after_a_new_start(
    start_store: StartStore, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = [random_unit(rng) for _ in range(2)]
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        first = await add_one(store.stub, photo(vectors[0]))
        with monkeypatch.context() as patch:
            patch.setattr("vectorstore.adding.APPLY_TIMEOUT_S", 0.5)
            patch.setattr(Catalog, "add", _fail_with(MemoryError))
            await add(store.stub, photo(vectors[1]))
            await store.tasks.failed.wait()
        monkeypatch.setattr(BoundaryInterceptor, "_check_ready", lambda *_: None)
        # As one that was let in before the service knew.
        with refused(CODE.UNAVAILABLE, "NOT_READY"):
            await search(store.stub, vectors[1])
    async with start_store() as store:
        results = await search(store.stub, *vectors, limit=1)
        assert ids(results[0].matches) == [first.photo_id]
        assert ids(results[1].matches) not in ([], [first.photo_id])
