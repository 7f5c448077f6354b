"""What the command does with what it is given, without any service."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main


@pytest.mark.parametrize("option", ["--limit", "--face"])
@pytest.mark.parametrize("number", ["99999999999", "-2147483649", "x"])
def test_a_number_that_the_contracts_cannot_carry_is_bad_usage(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["search", "photo.jpg", f"{option}={number}"])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "arguments"), [("TWIN_DATA_DIR", ["serve", "all"]), ("TWIN_MODELS_DIR", ["models", "pull", "starter"])]
)
def test_a_folder_that_cannot_be_made_is_one_line(
    setting: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(setting, str(tmp_path / "file" / "folder"))
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(tmp_path / "file" / "folder") in said


def test_doctor_sees_a_data_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path / "file" / "folder"))
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["doctor"]) == 1
    assert f"{tmp_path}/file/folder cannot be written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "value", "services"),
    [
        ("TWIN_MAX_CONCURRENT_CALLS", "many", "gateway"),
        ("TWIN_ADMIN_KEY", "short", "gateway"),
        ("TWIN_EMBEDDER_THREADS", "-1", "embedder"),
        ("TWIN_INDEX", "wonderful", "vectorstore"),
        ("TWIN_LOG_LEVEL", "loud", "gateway, embedder, vectorstore"),
    ],
)
def test_doctor_says_of_settings_what_the_services_starts_would_say(
    setting: str,
    value: str,
    services: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv(setting, value)
    assert main(["doctor"]) == 1
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    place = said.index(f"✗ Settings: would stop the start of {services}")
    started = services.partition(",")[0]
    start = subprocess.run(
        [sys.executable, "-m", started], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert start.returncode == 1
    assert start.stderr == f"twin {started}: {said[place + 1].removeprefix('→ ')}\n"
    assert setting in start.stderr


def test_doctor_passes_over_what_is_not_installed() -> None:
    hidden = ["cv2", "faiss", "aiohttp", "numpy"]
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden}))\nfrom cli.doctor_settings import refused_settings"
    subprocess.run([sys.executable, "-c", f"{code}\nassert not refused_settings()"], check=True, timeout=60)


def test_a_folder_without_photos_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").touch()
    assert main(["import", str(tmp_path)]) == 1
    assert "holds no photos" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["http://127.0.0.1:8080", "nowhere", "127.0.0.1:1"])
def test_the_check_names_an_address_that_is_none(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWIN_GATEWAY_HTTP_TARGET", target)
    assert main(["demo", "--check"]) == 1
    said = capsys.readouterr().err
    assert "does not answer" in said and target in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("module", ["argparse", "rich.console", "pydantic", "grpc"])
def test_an_interruption_while_modules_are_read_is_one_line(module: str) -> None:
    """The signal comes in the middle of the import of a module."""
    script = f"""
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from cli.main import main
sys.exit(main(["doctor"]))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "twin: stopped\n", "")


def test_an_interruption_of_a_running_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.models.list_models", interrupt)
    assert main(["models", "list"]) == 130
    assert capsys.readouterr().err == "twin: stopped\n"
