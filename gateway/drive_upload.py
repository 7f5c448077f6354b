"""One upload: in one request, or in parts that are taken up again where they stopped."""

from collections.abc import Callable
from typing import Any, Final

from googleapiclient.errors import HttpError
from googleapiclient.http import MediaUpload

from gateway.drive_errors import DriveUnavailable, tell_conflict
from gateway.drive_http import DriveHttp

# Over this size Drive takes uploads in parts alone.
UPLOAD_IN_PARTS_BYTES: Final = 5 * 2**20
# A multiple of 256 KiB, as Drive asks for.
_PART_BYTES: Final = 4 * 2**20
_SESSION_GONE: Final = frozenset({404, 410})


class Upload:
    """An upload that is tried until it is done: each run goes on where the one before failed."""

    def __init__(
        self, make_request: Callable[[MediaUpload], Any], data: bytes, mime_type: str, *, in_parts: bool
    ) -> None:
        self._make_request = make_request
        self._media = _Bytes(data, mime_type, in_parts=in_parts)
        self._in_parts = in_parts
        self._request: Any = None

    def run(self, http: DriveHttp) -> dict[str, Any]:
        """Returns the file as Drive describes it; raises IdInUse when an attempt before has made it."""
        with tell_conflict():
            return self._run(http)

    def _run(self, http: DriveHttp) -> dict[str, Any]:
        answer: dict[str, Any] | None = None
        if not self._in_parts:
            answer = self._make_request(self._media).execute(http=http)
        while answer is None:
            if self._request is None:
                self._request = self._make_request(self._media)
            try:
                _, answer = self._request.next_chunk(http=http)
            except HttpError as error:
                if error.resp.status in _SESSION_GONE and self._request.resumable_uri is not None:
                    self._request = None
                    raise DriveUnavailable from error
                raise
        return answer


class _Bytes(MediaUpload):  # type: ignore[misc]
    """Handed out as bytes: the client's own kind hands out a file, which a request that is sent again finds read."""

    def __init__(self, data: bytes, mime_type: str, *, in_parts: bool) -> None:
        self._data, self._mime_type, self._in_parts = data, mime_type, in_parts

    def chunksize(self) -> int:
        return _PART_BYTES

    def mimetype(self) -> str:
        return self._mime_type

    def size(self) -> int:
        return len(self._data)

    def resumable(self) -> bool:
        return self._in_parts

    def getbytes(self, begin: int, end: int) -> bytes:
        """Returns bytes from begin; the second argument is a length, whatever its name."""
        return self._data[begin : begin + end]

    def has_stream(self) -> bool:
        return False
