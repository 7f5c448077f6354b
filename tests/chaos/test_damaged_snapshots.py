"""A store whose snapshot was damaged while it was down: the damage is seen, set aside, and nobody's answer changes."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.chaos.replicas import keys_of, missed_by
from tests.chaos.stores import lasting_postgres_server, running_store
from tests.chaos.workload import make_gallery, photo_of
from tests.vectorstore.wire import add

pytestmark = pytest.mark.chaos

SEED = 4


@pytest.fixture
def url_and_folder() -> Iterator[tuple[str, Path]]:
    with (
        lasting_postgres_server() as postgres,
        tempfile.TemporaryDirectory(prefix="twin-chaos-", ignore_cleanup_errors=True) as name,
    ):
        yield asyncio.run(postgres.make_database()), Path(name)


async def test_a_damaged_snapshot_is_set_aside_and_rebuilt(url_and_folder: tuple[str, Path]) -> None:
    url, folder = url_and_folder
    place = folder / "data" / "vectorstore"
    keys = keys_of(300, 4)
    rng = np.random.default_rng(SEED)
    async with running_store(folder / "data", url) as store:
        await make_gallery(store.stub)
        await add(store.stub, *[photo_of(key) for key in keys])
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        store.process.kill()
    names = sorted(path.name for path in (place / "snapshot").iterdir())
    assert len(names) == 3, "one gallery's catalog and index, and the manifest"
    for name in names[:2]:
        path = place / "snapshot" / name
        content = bytearray(path.read_bytes())
        at = int(rng.integers(len(content)))
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        async with running_store(folder / "data", url) as store:
            assert await missed_by(store, keys) == [], f"byte {at} of {name}"
            assert len(list(place.glob("snapshot.damaged-*"))) == 1
            await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
            assert list(place.glob("snapshot.damaged-*")) == []
            store.process.kill()
    # The last one is sound again, and used.
    async with running_store(folder / "data", url) as store:
        assert await missed_by(store, keys) == []
        assert list(place.glob("snapshot.damaged-*")) == []
        assert store.process.log.read_text().count('"from_snapshot": true') == 1
