"""Signing in to Drive, and what the doctor says of it."""

import json
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.doctor import _photo_store
from cli.main import main
from tests.drive_emulator import DriveEmulator


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture
def settings(emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the data folder of a command that talks to the emulator."""
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TWIN_DRIVE_ENDPOINT", emulator.url)
    monkeypatch.setenv("TWIN_PHOTO_STORE", "drive")
    # The emulator speaks plain HTTP, over loopback.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    return tmp_path


class Browser:
    """Follows the address that it is told to open, as a person does who agrees to everything."""

    def open(self, url: str, **_more: Any) -> bool:
        threading.Thread(target=lambda: urllib.request.urlopen(url).read()).start()
        return True


def test_a_sign_in_leaves_a_token_that_the_gateway_takes(
    emulator: DriveEmulator, settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda *_: Browser())
    client = {"client_id": "client.apps.example.com", "client_secret": "a-client-secret"}
    addresses = {"auth_uri": f"{emulator.url}/auth", "token_uri": f"{emulator.url}/token"}
    client_file = settings / "client.json"
    client_file.write_text(json.dumps({"installed": {**client, **addresses}}))
    assert main(["drive", "login", "--client", str(client_file)]) == 0
    assert "owner@example.com" in capsys.readouterr().out
    token = settings / "google-token.json"
    assert token.stat().st_mode & 0o777 == 0o600
    assert json.loads(token.read_text())["scopes"] == ["https://www.googleapis.com/auth/drive.file"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "TWIN_GOOGLE_CLIENT_ID"), ("{", "no JSON"), ('{"web": {}}', "Desktop app")],
)
def test_without_a_client_the_sign_in_says_what_to_do(
    settings: Path, capsys: pytest.CaptureFixture[str], content: str | None, expected: str
) -> None:
    arguments = ["drive", "login"]
    if content is not None:
        (settings / "client.json").write_text(content)
        arguments += ["--client", str(settings / "client.json")]
    assert main(arguments) == 1
    assert expected in capsys.readouterr().err


async def test_the_doctor_tells_what_is_wrong_with_drive(
    emulator: DriveEmulator, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = await _photo_store()
    assert not missing.ok
    assert "twin drive login" in missing.remedy
    monkeypatch.setenv("TWIN_GOOGLE_TOKEN_JSON", emulator.token_json())
    good = await _photo_store()
    assert good.ok
    assert "owner@example.com" in good.detail
    emulator.tokens.revoke_all()
    revoked = await _photo_store()
    assert not revoked.ok
    assert "7 days" in revoked.remedy
    emulator.down()
    assert "does not answer" in (await _photo_store()).detail
    emulator.up()
    monkeypatch.setenv("TWIN_GOOGLE_SERVICE_ACCOUNT_FILE", str(settings / "key.json"))
    assert "no storage of its own" in (await _photo_store()).remedy
    monkeypatch.setenv("TWIN_PHOTO_STORE", "local")
    assert (await _photo_store()).idle


def test_the_doctor_needs_nothing_that_speaks_to_drive() -> None:
    hidden = ("googleapiclient", "google.auth", "google.oauth2", "google_auth_httplib2", "httplib2")
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden}))\nimport cli.doctor"
    subprocess.run([sys.executable, "-c", code], check=True)
