"""One device and many callers: answered together, told when it is lost or fails them, and what to do without one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from runtime.errors import DependencyUnavailable, StartupError
from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor
from tests.vectorstore.cuda_cases import KINDS, assert_equal_answers, filled, units
from tests.vectorstore.fake_cuda import FakeDriver, FakeLibrary, fake_device
from vectorstore.index import cuda_device
from vectorstore.index.cuda_device import cuda_memory_bytes
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.cuda_kinds import fits, make_cuda
from vectorstore.index.owner import OwnerLost

pytestmark = pytest.mark.usefixtures("device_is_asked")


@pytest.mark.parametrize("kind", KINDS)
def test_searches_from_many_threads_are_answered_together_and_right(kind: str, rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    begin, reached = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert begin.wait(10)

    try:
        index, plain = filled(kind, device, units(rng, 3000))
        queries = units(rng, 24)
        with ThreadPoolExecutor(25) as pool:
            holding = pool.submit(device.owner.run, hold)
            assert reached.wait(10)
            library.scans.clear()
            searches = [pool.submit(index.search, queries[n : n + 1], 5 + n, exact=True) for n in range(24)]
            while len(device.owner._waiting) < 24:
                assert not searches[0].done()
            begin.set()
            holding.result(10)
            for number, search in enumerate(searches):
                ids = search.result(10)[0][0]
                assert ids.tolist() == plain.search(queries[number : number + 1], 5 + number)[0][0].tolist()
        assert library.scans[0] == 24
    finally:
        begin.set()
        device.owner.stop()


def test_a_lost_device_fails_its_searches_and_is_not_asked_again(rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    index, _ = filled("cuda-flat-f16", device, units(rng, 500))
    library.error = RuntimeError("CUDA error 700 an illegal memory access was encountered")
    with pytest.raises(DependencyUnavailable, match="a fake device"):
        index.search(units(rng, 1), 5)
    library.error = None
    with pytest.raises(DependencyUnavailable):
        index.search(units(rng, 1), 5)
    assert not device.owner.is_alive


async def test_a_device_that_is_lost_after_it_was_opened_late_turns_health(monkeypatch: pytest.MonkeyPatch) -> None:
    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    task = tasks.spawn(cuda_device.watch_devices(0.01), "CUDA devices")
    readiness.mark_ready()
    device = fake_device()
    monkeypatch.setitem(cuda_device._devices, 0, device)
    await asyncio.sleep(0.05)
    assert readiness.is_ready

    def lose() -> None:
        raise OwnerLost("it fell off the bus")

    with pytest.raises(DependencyUnavailable):
        await asyncio.to_thread(device.run, lose)
    await asyncio.wait([task], timeout=10)
    assert readiness.has_failed


def test_an_error_that_is_not_the_device_s_is_only_its_own_callers(rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    try:
        index, plain = filled("cuda-flat-f16", device, units(rng, 500))
        library.error = RuntimeError("Error in something else")
        with pytest.raises(RuntimeError, match="something else"):
            index.search(units(rng, 1), 5)
        library.error = None
        assert_equal_answers(index, plain, units(rng, 1), 5)
    finally:
        device.owner.stop()


def test_an_upload_that_is_cut_off_loses_the_device(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of FAISS's lists then have their rows and some have not: nothing that it answers can be relied on."""
    device = fake_device()
    driver = device.driver
    assert isinstance(driver, FakeDriver)
    index, _ = filled("cuda-sq8", device, units(rng, 400))

    def fail(size: int) -> int:
        raise DeviceFull(f"no room for {size} bytes, whatever was said before")

    monkeypatch.setattr(driver, "memory", lambda: (2**30, 2**30))
    monkeypatch.setattr(driver, "allocate", fail)
    with pytest.raises(DependencyUnavailable):
        index.add(np.array([999], dtype=np.int64), units(rng, 1))
    assert isinstance(device.owner._end.exception(), OwnerLost)


def test_without_a_device_the_kinds_say_what_to_do() -> None:
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS has the CUDA kinds")
    assert cuda_memory_bytes() is None
    assert not fits("cuda-flat-f16", 512, 1)
    with pytest.raises(StartupError, match="vectorstore-gpu"):
        make_cuda("cuda-sq8", 512)
