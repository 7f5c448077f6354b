"""The access token that all requests share: one refresh, however many find it stale."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import google_auth_httplib2
import httplib2
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from gateway.drive_errors import DriveRefused, DriveUnavailable
from gateway.metrics import DRIVE_CREDENTIALS_GOOD, DRIVE_TOKEN_REFRESHES
from runtime.errors import StartupError
from runtime.logs import get_logger

# One attempt's silence, and what one that another thread makes is waited for, seconds.
_SILENCE_S: Final = 2.0
_WAIT_S: Final = 10.0
# A refusal is taken at its word for so long: Google is not asked again by every call.
_REFUSAL_S: Final = 3.0
_log = get_logger(__name__)


class TokenKeeper:
    """Hands out the access token; threads share it."""

    def __init__(self, load: Callable[[], Credentials]) -> None:
        """load: reads the credentials; again where they are refused, since a new sign-in may have replaced them."""
        self._load = load
        self._credentials = load()
        self._lock = threading.Lock()
        self._refresh: Future[str] | None = None
        self._refused_until = 0.0

    def token(self) -> str:
        """Returns a token that is good as far as is known; raises DriveRefused or DriveUnavailable."""
        credentials = self._credentials
        return str(credentials.token) if credentials.valid else self.renew(credentials.token)

    def renew(self, stale: str | None) -> str:
        """Returns another token than the stale one, got by this thread or by one that was at it already."""
        with self._lock:
            credentials = self._credentials
            if credentials.valid and credentials.token != stale:
                return str(credentials.token)
            if time.monotonic() < self._refused_until:
                raise DriveRefused
            refresh, is_mine = self._refresh, self._refresh is None
            if refresh is None:
                refresh = self._refresh = Future()
        if is_mine:
            self._run(refresh)
        return refresh.result(_WAIT_S)

    def _run(self, refresh: "Future[str]") -> None:
        http = httplib2.Http(timeout=_SILENCE_S)
        try:
            token = self._renewed(http)
        except Exception as error:
            failure = error
            if isinstance(error, DriveRefused):
                self._refused_until = time.monotonic() + _REFUSAL_S
                DRIVE_CREDENTIALS_GOOD.set(0)
            DRIVE_TOKEN_REFRESHES.labels("failed").inc()
            self._finish(lambda: refresh.set_exception(failure))
        else:
            DRIVE_CREDENTIALS_GOOD.set(1)
            DRIVE_TOKEN_REFRESHES.labels("done").inc()
            self._finish(lambda: refresh.set_result(token))
        finally:
            http.close()

    def _finish(self, settle: Callable[[], None]) -> None:
        with self._lock:
            self._refresh = None
        settle()

    def _renewed(self, http: httplib2.Http) -> str:
        try:
            return _ask(self._credentials, http)
        except RefreshError as error:
            if not _is_refusal(error):
                raise DriveUnavailable from error
            old, self._credentials = self._credentials, self._read_again()
            if _secret_of(old) == _secret_of(self._credentials):
                _log.error("Google refuses the credentials: run `twin drive login`, or renew the service account's key")
                raise DriveRefused from error
        try:
            return _ask(self._credentials, http)
        except RefreshError as error:
            raise (DriveRefused if _is_refusal(error) else DriveUnavailable)() from error

    def _read_again(self) -> Credentials:
        try:
            return self._load()
        except StartupError:
            return self._credentials


def _ask(credentials: Credentials, http: httplib2.Http) -> str:
    try:
        credentials.refresh(google_auth_httplib2.Request(http))  # type: ignore[no-untyped-call]
    except (TypeError, KeyError, ValueError) as error:
        # Half an answer, or a proxy's page, where a token was to be: the library does not look before it reads.
        raise DriveUnavailable from error
    return str(credentials.token)


def _is_refusal(error: RefreshError) -> bool:
    """True for an answer in the words of OAuth, such as "invalid_grant"; a proxy's or a limit's refusal passes."""
    body = error.args[1] if len(error.args) > 1 else None
    return not error.retryable and isinstance(body, dict) and isinstance(body.get("error"), str)


def _secret_of(credentials: Any) -> object:
    """Returns what tells a new sign-in, or a new key, from the old one."""
    signer = getattr(credentials, "signer", None)
    return getattr(credentials, "refresh_token", None) or getattr(signer, "key_id", None)
