"""The embedded PostgreSQL: what a kill at a bad moment leaves behind, and a stop that comes while it starts."""

import asyncio
import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.vectorstore.processes import StoreProcess, serving
from vectorstore.embedded import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own folder, which other users cannot enter; root's PostgreSQL runs as one."""
    with tempfile.TemporaryDirectory(prefix="twin-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.mark.chaos
async def test_a_store_killed_while_its_database_is_made_starts_again(folder: Path) -> None:
    first = StoreProcess(folder / "data")
    try:
        async with asyncio.timeout(60):
            # The first file that there is, long before the folder is complete.
            while not list((folder / "data").glob("*/PG_VERSION")):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        family = psutil.Process(first.process.pid).children(recursive=True)
    finally:
        first.kill()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    again = StoreProcess(folder / "data")
    try:
        async with serving(again):
            pass
    finally:
        assert again.stop() == 0
    assert sorted(path.name for path in (folder / "data").glob("postgres*")) == ["postgres"]


def test_a_number_that_another_folders_server_has_by_now_is_no_sign_of_life(folder: Path, postgres_url: str) -> None:
    """After a reboot, the number in a stale file can be that of any other PostgreSQL."""
    other = next(process for process in psutil.process_iter() if process.name() == "postgres")
    mine = folder / "postgres"
    mine.mkdir()
    (mine / "postmaster.pid").write_text(f"{other.pid}\n{mine}\n1\n5432\n{mine}\n\n1 1\nready\n")
    assert not EmbeddedPostgres(mine)._is_alive()


class _SlowServer:
    """Starts when it is let, and knows in which order it was started and stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.starting, self.may_start = threading.Event(), threading.Event()
        self.done: list[str] = []

    def ensure_postgres_running(self) -> None:
        self.starting.set()
        assert self.may_start.wait(20)
        self.done.append("started")

    def stop(self) -> None:
        self.done.append("stopped")


async def test_a_stop_has_the_last_word_over_a_start_that_is_under_way(folder: Path) -> None:
    postgres, server = EmbeddedPostgres(folder), _SlowServer()
    postgres._server = server
    starting = asyncio.create_task(postgres._run_with_patience())
    await asyncio.to_thread(server.starting.wait, 20)
    starting.cancel()
    stopping = asyncio.create_task(postgres.stop())
    await asyncio.sleep(0.1)
    server.may_start.set()
    await stopping
    postgres._run_once()
    assert server.done == ["started", "stopped"]


async def test_a_server_that_still_recovers_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = EmbeddedPostgres(folder)
    tries: list[int] = []

    def recovering() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise subprocess.TimeoutExpired("pg_ctl", 10)

    monkeypatch.setattr("vectorstore.embedded._START_PATIENCE_S", 0.0)
    monkeypatch.setattr("vectorstore.embedded._RETRY_S", 0.001)
    monkeypatch.setattr(postgres, "_run_once", recovering)
    monkeypatch.setattr(postgres, "_is_alive", lambda: True)
    await postgres._run_with_patience()
    assert len(tries) == 4
    tries.clear()
    monkeypatch.setattr(postgres, "_is_alive", lambda: False)
    with pytest.raises(subprocess.TimeoutExpired):
        await postgres._run_with_patience()
    assert len(tries) == 1
