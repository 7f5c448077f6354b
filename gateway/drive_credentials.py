"""Who the gateway is to Google: a service account, or the owner who signed in once."""

import json
from typing import Any, Final

from google.auth import credentials as google_credentials
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials

from gateway.drive_settings import DriveSettings
from runtime.errors import StartupError

# What the application made, and nothing else.
FILE_SCOPE: Final = "https://www.googleapis.com/auth/drive.file"
# Everything, to be read: imports refer to photos that the owner put there.
READ_SCOPE: Final = "https://www.googleapis.com/auth/drive.readonly"
# Everything, to be read and written.
FULL_SCOPE: Final = "https://www.googleapis.com/auth/drive"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105


def scopes_of(settings: DriveSettings) -> tuple[str, ...]:
    """Returns what access is asked for."""
    if settings.drive_full_access:
        return (FULL_SCOPE,)
    return (FILE_SCOPE, READ_SCOPE) if settings.drive_imports else (FILE_SCOPE,)


def load_credentials(settings: DriveSettings) -> google_credentials.Credentials:
    """Returns the credentials that the settings name; raises StartupError, which says what to do."""
    if settings.google_service_account_file is not None:
        return _service_account(settings)
    if settings.google_token_json is not None:
        return _signed_in(settings.google_token_json.get_secret_value(), "TWIN_GOOGLE_TOKEN_JSON", settings)
    path = settings.token_path
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise StartupError(
            "there is nobody to sign in to Google Drive as: run `twin drive login`, or set "
            "TWIN_GOOGLE_SERVICE_ACCOUNT_FILE (docs/operator.md, Photos in Google Drive)"
        ) from error
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}; set TWIN_GOOGLE_TOKEN_FILE") from error
    return _signed_in(text, str(path), settings)


def _service_account(settings: DriveSettings) -> google_credentials.Credentials:
    path = settings.google_service_account_file
    if not settings.drive_shared_drive:
        raise StartupError(
            "a service account has no storage of its own: share a shared drive with it and set TWIN_DRIVE_SHARED_DRIVE "
            "to that drive's id, or use `twin drive login` instead (docs/operator.md, Photos in Google Drive)"
        )
    try:
        made: google_credentials.Credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
            str(path), scopes=scopes_of(settings)
        )
    except OSError as error:
        raise StartupError(f"TWIN_GOOGLE_SERVICE_ACCOUNT_FILE={path}: {error.strerror}") from error
    except ValueError as error:
        raise StartupError(
            f"TWIN_GOOGLE_SERVICE_ACCOUNT_FILE={path} is no service account's key: download one as JSON"
        ) from error
    return made


def _signed_in(text: str, source: str, settings: DriveSettings) -> google_credentials.Credentials:
    try:
        token: dict[str, Any] = json.loads(text)
        refresh_token = token["refresh_token"]
        client_id = token.get("client_id") or settings.google_client_id
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StartupError(f"{source} holds no token that lasts: run `twin drive login`") from error
    secret = settings.google_client_secret.get_secret_value() if settings.google_client_secret is not None else ""
    client_secret = token.get("client_secret") or secret
    if not client_id or not client_secret:
        raise StartupError(
            f"{source} names no OAuth client: set TWIN_GOOGLE_CLIENT_ID and TWIN_GOOGLE_CLIENT_SECRET to the one that "
            "signed in"
        )
    return Credentials(  # type: ignore[no-untyped-call]
        token=None,
        refresh_token=refresh_token,
        token_uri=token.get("token_uri") or TOKEN_URI,
        client_id=client_id,
        client_secret=client_secret,
    )
