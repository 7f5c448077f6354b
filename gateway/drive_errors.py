"""What a failed request to Drive means: whether to try again, when, and what a caller is told."""

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httplib2
from google.auth.exceptions import GoogleAuthError
from googleapiclient.errors import HttpError

from runtime.errors import DependencyUnavailable, NotFound, StorageFull, TwinError
from runtime.logs import get_logger

DEPENDENCY: Final = "drive"
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
# Reasons of a 403 that pass by themselves.
_RATE_LIMITS: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
_DAY_IS_OVER: Final = frozenset({"dailyLimitExceeded", "quotaExceeded"})
_FULL: Final = frozenset({"storageQuotaExceeded", "teamDriveFileLimitExceeded"})
_LONGEST_AFTER_S: Final = 86_400.0
_log = get_logger(__name__)


class DriveUnavailable(DependencyUnavailable):
    """Drive does not answer, or not as it should."""

    def __init__(self, retry_delay_s: float = 1.0) -> None:
        super().__init__(DEPENDENCY, retry_delay_s, "Google Drive does not answer")


class DriveRefused(DependencyUnavailable):
    """Google takes the credentials no more: they expired, were revoked, or allow too little."""

    def __init__(self, why: str = "expired or were revoked") -> None:
        message = f"the gateway's credentials for Google Drive {why}; its operator renews them: twin drive login"
        super().__init__(DEPENDENCY, retry_delay_s=60.0, message=message)


class DriveFull(StorageFull):
    """No room is left, or there never was any."""

    def __init__(self, *, is_service_account: bool) -> None:
        super().__init__(
            "a service account has no storage of its own in Google Drive: its operator sets TWIN_DRIVE_SHARED_DRIVE"
            if is_service_account
            else "Google Drive is full"
        )


class IdInUse(Exception):
    """A file of the id that was to be made is there already."""


class Damaged(DriveUnavailable):
    """What arrived is not what was sent."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt. after_s: how long Drive asks to be left alone."""

    error: Exception
    may_retry: bool
    after_s: float = 0.0


@contextlib.contextmanager
def tell_conflict() -> Iterator[None]:
    """Raises IdInUse in place of Drive's words for it."""
    try:
        yield
    except HttpError as error:
        if error.resp.status == 409:
            raise IdInUse from error
        raise


def failure_of(error: Exception) -> Failure:
    """Returns what an attempt's exception means."""
    if isinstance(error, HttpError):
        return _of_answer(error)
    if isinstance(error, TwinError):
        return Failure(error, may_retry=isinstance(error, DriveUnavailable))
    if isinstance(error, OSError | http.client.HTTPException | httplib2.HttpLib2Error | GoogleAuthError):
        # A certificate that does not fit will not fit the next time.
        return Failure(DriveUnavailable(), may_retry=not isinstance(error, ssl.SSLCertVerificationError))
    if isinstance(error, ValueError):
        # Half an answer, or a proxy's page, where JSON was to be.
        return Failure(DriveUnavailable(), may_retry=True)
    return Failure(error, may_retry=False)


def _of_answer(error: HttpError) -> Failure:
    status, reason, message = int(error.resp.status), *_reason(error)
    after_s = _retry_after_s(error.resp.get("retry-after", ""))
    if status in _TRY_AGAIN or (status == 403 and reason in _RATE_LIMITS):
        return Failure(DriveUnavailable(max(1.0, after_s)), may_retry=True, after_s=after_s)
    if status == 401:
        return Failure(DriveRefused(), may_retry=False)
    if status == 404:
        return Failure(NotFound("photo"), may_retry=False)
    if status == 403 and reason in _FULL:
        return Failure(DriveFull(is_service_account="Service Account" in message), may_retry=False)
    if status == 403 and reason in _DAY_IS_OVER:
        return Failure(DriveUnavailable(retry_delay_s=600.0), may_retry=False)
    # Not the message: it may name files.
    _log.error("Google Drive refuses a request", status=status, reason=reason)
    if status == 403:
        return Failure(DriveRefused(f"allow too little ({reason})"), may_retry=False)
    return Failure(DriveUnavailable(), may_retry=False)


def _reason(error: HttpError) -> tuple[str, str]:
    try:
        body: Any = json.loads(error.content)["error"]
        return str(body["errors"][0]["reason"]), str(body.get("message", ""))
    except (ValueError, KeyError, IndexError, TypeError):
        return "", ""


def _retry_after_s(text: str) -> float:
    """Reads Retry-After: seconds, or a time; a day at most, and 0 for what is neither."""
    try:
        seconds = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_AFTER_S)
