"""``twin drive login``: the owner of a Drive lets the gateway keep photos there."""

import asyncio
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google_auth_oauthlib.flow import InstalledAppFlow
from oauthlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from rich.console import Console

from cli.errors import CommandError
from gateway.drive_credentials import TOKEN_URI, scopes_of
from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from runtime.settings import load_settings

_AUTH_URI: Final = "https://accounts.google.com/o/oauth2/auth"
_WAIT_S: Final = 600


@dataclass(frozen=True, slots=True)
class SignIn:
    """How to sign in. client_file: the OAuth client as Google's console hands it out; port: 0 for any free one."""

    client_file: Path | None
    imports: bool
    port: int
    browser: bool


def login(order: SignIn, console: Console) -> int:
    """Signs in and keeps the token; returns 0. Raises CommandError, which says what to do."""
    settings = load_settings(DriveSettings)
    client = _client(order, settings)
    scopes = scopes_of(settings.model_copy(update={"drive_imports": order.imports or settings.drive_imports}))
    flow = InstalledAppFlow.from_client_config(client, scopes)
    try:
        granted: Any = flow.run_local_server(
            port=order.port,
            open_browser=order.browser,
            authorization_prompt_message="Sign in to Google here: {url}",
            success_message="The sign-in is done; this window can be closed.",
            timeout_seconds=_WAIT_S,
            # A refresh token is given at the first consent alone, unless it is asked for again.
            prompt="consent",
        )
    except Warning as error:
        raise CommandError("Google gave less than was asked for: sign in again and leave every box ticked") from error
    except (OAuth2Error, AttributeError) as error:
        # The last is what the library has to say of a browser that did not come back.
        raise CommandError("the sign-in came to nothing: was it refused, or left for too long?") from error
    token = {"type": "authorized_user", "refresh_token": granted.refresh_token, "scopes": scopes}
    if order.client_file is not None:
        # What came from the environment stays there.
        token |= {part: getattr(granted, part) for part in ("client_id", "client_secret", "token_uri")}
    _keep(settings.token_path, json.dumps(token))
    console.print(f"The token is kept in {settings.token_path}.", soft_wrap=True)
    account = asyncio.run(_account(settings))
    console.print(f"Signed in to Google Drive as {account}. Set TWIN_PHOTO_STORE=drive to keep photos there.")
    return 0


def _client(order: SignIn, settings: DriveSettings) -> dict[str, Any]:
    if order.client_file is not None:
        try:
            client: dict[str, Any] = json.loads(order.client_file.read_text())
        except ValueError as error:
            raise CommandError(f"{order.client_file} is no JSON: download it from Google's console again") from error
        if "installed" not in client:
            raise CommandError(f"{order.client_file} is of another kind: make an OAuth client of type Desktop app")
        return client
    if not settings.google_client_id or settings.google_client_secret is None:
        raise CommandError(
            "no OAuth client: set TWIN_GOOGLE_CLIENT_ID and TWIN_GOOGLE_CLIENT_SECRET, or give --client FILE "
            "(docs/operator.md, Photos in Google Drive)"
        )
    secret = settings.google_client_secret.get_secret_value()
    parts = {"client_id": settings.google_client_id, "client_secret": secret}
    return {"installed": {**parts, "auth_uri": _AUTH_URI, "token_uri": TOKEN_URI}}


def _keep(path: Path, text: str) -> None:
    """Writes a file that its owner alone can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


async def _account(settings: DriveSettings) -> str:
    store = DriveStore(settings)
    try:
        return (await store.account()).email
    finally:
        await store.close()
