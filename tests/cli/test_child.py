"""What a supervised process's first lines are taken for."""

from pathlib import Path

from cli.child import Child


async def started(folder: Path, program: str) -> tuple[dict[str, str], Child]:
    (folder / "service_of_a_test.py").write_text(program)
    child = Child("service_of_a_test", {"PYTHONPATH": str(folder)})
    return await child.start(), child


async def test_a_line_that_a_library_prints_is_no_end(tmp_path: Path) -> None:
    program = "import time\nprint('hello')\nprint('{\"service\": \"here:1\"}', flush=True)\ntime.sleep(600)\n"
    addresses, child = await started(tmp_path, program)
    assert addresses == {"service": "here:1"}
    await child.stop()
    assert await child.wait() < 0


async def test_a_process_that_ends_before_it_listens_has_no_addresses(tmp_path: Path) -> None:
    addresses, child = await started(tmp_path, "print('hello')\nraise SystemExit(3)\n")
    assert addresses == {}
    assert await child.wait() == 3
    await child.stop()
