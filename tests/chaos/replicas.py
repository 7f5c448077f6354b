"""Several stores on one database, and questions that tests ask each of them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.chaos.stores import RunningStore, connected, running_store
from tests.chaos.workload import make_gallery, vector_of
from tests.vectorstore.processes import StoreProcess
from tests.vectorstore.wire import ids, query, search


@contextlib.asynccontextmanager
async def replicas(url: str, folder: Path, failpoints: Sequence[str]) -> AsyncIterator[list[RunningStore]]:
    """Starts as many replicas as there are failpoints, each in a folder of its number, with one gallery."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [
            # The first makes the schema.
            await stack.enter_async_context(
                running_store(folder / str(number) / "data", url, failpoints=points, seed=number, wait=number == 0)
            )
            for number, points in enumerate(failpoints)
        ]
        await _begin(stores)
        yield stores


@contextlib.asynccontextmanager
async def connected_to(processes: Sequence[StoreProcess]) -> AsyncIterator[list[RunningStore]]:
    """Lends clients of replicas that were started before."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(connected(process)) for process in processes]
        await _begin(stores)
        yield stores


async def _begin(stores: Sequence[RunningStore]) -> None:
    for store in stores:
        await store.until_serving()
    await make_gallery(stores[0].stub)
    revision = (await stores[0].stub.GetStats(pb.GetStatsRequest())).revision
    for store in stores:
        await until_applied(store, revision)


async def until_applied(store: RunningStore, revision: int) -> None:
    async with asyncio.timeout(30):
        while (await store.stub.GetStats(pb.GetStatsRequest())).revision < revision:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def keys_of(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(count)]


async def missed_by(store: RunningStore, keys: Sequence[str]) -> list[str]:
    """Returns the photos that their own vector does not find first."""
    missed: list[str] = []
    for place in range(0, len(keys), 500):
        some = keys[place : place + 500]
        request = pb.SearchRequest(queries=[query(vector_of(key)) for key in some], mode=pb.MATCH_MODE_NEAREST, limit=1)
        results = (await store.stub.Search(request)).results
        missed += [key for key, result in zip(some, results, strict=True) if ids(result.matches) != [key]]
    return missed


async def nearest_to(store: RunningStore, key: str) -> list[str]:
    (result,) = await search(store.stub, vector_of(key), limit=5)
    return ids(result.matches)
