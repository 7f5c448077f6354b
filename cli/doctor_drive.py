"""What ``twin doctor`` says of Google Drive; apart, since the extra gateway alone brings what speaks to it."""

from collections.abc import Mapping
from typing import Final

from gateway.drive_errors import DriveFull, DriveRefused, DriveUnavailable
from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from runtime.errors import TwinError

_REMEDIES: Final[Mapping[type[TwinError], str]] = {
    DriveRefused: "run: twin drive login (an OAuth app that is in testing is signed out after 7 days: publish it), or"
    " renew the service account's key and its place in the shared drive",
    DriveFull: "free some room, or set TWIN_DRIVE_SHARED_DRIVE",
    DriveUnavailable: "see whether this machine reaches www.googleapis.com and oauth2.googleapis.com",
}


async def look_at_drive(settings: DriveSettings) -> tuple[bool, str, str]:
    """Returns whether Drive can be used, who is signed in or what is wrong, and what to do; raises StartupError."""
    store = DriveStore(settings)
    try:
        account = await store.account()
        await store.check()
    except TwinError as error:
        return False, error.message, _REMEDIES.get(type(error), "see docs/operator.md")
    finally:
        await store.close()
    room = "" if account.limit_bytes is None else f" of {account.limit_bytes / 2**30:.1f}"
    return True, f"signed in as {account.email}, {account.used_bytes / 2**30:.1f}{room} GiB used", ""
