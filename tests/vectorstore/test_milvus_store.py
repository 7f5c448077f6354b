"""A store whose vectors are in Milvus: the same answers, over a restart with and without a snapshot."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add, ids, photo, random_unit, search

Rng = np.random.Generator


@pytest.mark.parametrize("with_snapshot", [False, True])
async def test_a_store_on_milvus_answers_the_same_before_and_after_a_restart(
    start_store: StartStore, tmp_path: Path, rng: Rng, with_snapshot: bool
) -> None:
    if not all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite")):
        pytest.skip("needs the packages pymilvus and milvus-lite, which are not here")
    settings = {"index": "milvus", "milvus_uri": str(tmp_path / "milvus.db")}
    vectors = [random_unit(rng) for _ in range(30)]
    messages = [photo(vector, person=f"person {place % 10}") for place, vector in enumerate(vectors)]
    async with start_store(**settings) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await add(store.stub, *messages[:20])
        if with_snapshot:
            await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await add(store.stub, *messages[20:])
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=messages[3].photo_id))
        assert (await store.stub.GetStats(pb.GetStatsRequest())).indexes[0].kind == "milvus"
    async with start_store(**settings) as store:
        stats = (await store.stub.GetStats(pb.GetStatsRequest())).indexes[0]
        assert stats.face_count == 29
        for place in (0, 15, 29):
            (result,) = await search(store.stub, vectors[place], limit=1)
            assert ids(result.matches) == [messages[place].photo_id]
            assert result.matches[0].similarity.cosine == pytest.approx(1.0, abs=1e-5)
        (gone,) = await search(store.stub, vectors[3], limit=30)
        assert messages[3].photo_id not in ids(gone.matches)
        (twins,) = await search(store.stub, vectors[0], limit=5, mode=pb.MATCH_MODE_LOOKALIKE)
        assert len(twins.matches) == 5
