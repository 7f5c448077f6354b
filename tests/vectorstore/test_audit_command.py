"""``twin audit``, against a store that runs in this process."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from cli.main import main
from tests.vectorstore.conftest import Store
from tests.vectorstore.wire import add_one, photo, random_unit

Twin = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def twin(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Twin:
    monkeypatch.setenv("TWIN_VECTORSTORE_TARGET", store.address)
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path / "operator"))
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str) -> tuple[int, str, str]:
        """Returns the exit code and what was said; in a thread, since the store answers from this one."""
        capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def _head_of(said: str) -> str:
    return next(line.removeprefix("head ") for line in said.splitlines() if line.startswith("head "))


async def test_a_right_log_is_told_with_its_head(
    stub: Any, twin: Twin, database: Any, rng: np.random.Generator
) -> None:
    await add_one(stub, photo(random_unit(rng)))
    code, said, _ = await twin("audit", "verify")
    assert code == 0
    assert "2 entries are as they were written" in said
    sha256 = await database.fetchval("SELECT sha256 FROM audit_links WHERE link_id = 2")
    assert _head_of(said) == f"2:{sha256.hex()}"


async def test_a_broken_log_is_told_with_the_place_and_exit_code_1(
    stub: Any, twin: Twin, database: Any, rng: np.random.Generator
) -> None:
    for _ in range(3):
        await add_one(stub, photo(random_unit(rng)))
    await database.execute("UPDATE audit_log SET gallery = 'other' WHERE audit_id = 3")
    code, said, _ = await twin("audit", "verify")
    assert code == 1
    assert "BROKEN at link 3 (entries 3 to 3)" in said
    assert "2 entries before it are as they were written" in said


async def test_what_was_found_right_before_is_remembered(
    stub: Any, twin: Twin, database: Any, rng: np.random.Generator, tmp_path: Path
) -> None:
    first = _head_of((await twin("audit", "verify"))[1])
    await add_one(stub, photo(random_unit(rng)))
    code, said, _ = await twin("audit", "verify")
    assert code == 0
    second = _head_of(said)
    await database.execute("DELETE FROM audit_links WHERE link_id = 2; DELETE FROM audit_log WHERE audit_id = 2")
    code, said, _ = await twin("audit", "verify")
    assert code == 1 and "cut off" in said and str(tmp_path / "operator" / "audit" / "head") in said
    assert (await twin("audit", "verify", "--head", second))[0] == 1
    assert (await twin("audit", "verify", "--head", first))[0] == 0
    assert (await twin("audit", "verify"))[0] == 0, "what was found right last is remembered"


@pytest.mark.parametrize("head", ["nonsense", "1:xyz", ":00", "1:00"])
async def test_a_head_that_is_none_is_one_line(stub: Any, twin: Twin, head: str) -> None:
    code, _, said = await twin("audit", "verify", "--head", head)
    assert code == 1
    assert len(said.splitlines()) == 1


async def test_the_newest_entries_are_listed(stub: Any, twin: Twin, rng: np.random.Generator) -> None:
    added = [await add_one(stub, photo(random_unit(rng))) for _ in range(3)]
    await stub.RecordAudit(pb.RecordAuditRequest(action=pb.EXTERNAL_ACTION_RECONCILE, photo_count=7))
    code, said, _ = await twin("audit", "list", "--limit", "2")
    assert code == 0
    assert "reconcile" in said and "7 photos" in said
    assert added[2].photo_id in said and added[1].photo_id not in said
    assert "create_gallery" in (await twin("audit", "list"))[1]
