"""HTTP to Drive as one thread has it: with the shared token, and to be cut off from outside."""

import contextlib
import socket
from typing import Any, Final

import httplib2

from gateway.drive_tokens import TokenKeeper

_UNAUTHORIZED: Final = 401
# "Go on" for an upload in parts, which httplib2 would take for a redirection.
_RESUME_INCOMPLETE: Final = 308


class DriveHttp:
    """What googleapiclient takes for an httplib2.Http. One a thread: httplib2's connections cannot be shared."""

    def __init__(self, tokens: TokenKeeper) -> None:
        self._tokens = tokens
        self._http = httplib2.Http()
        self._http.redirect_codes = self._http.redirect_codes - {_RESUME_INCOMPLETE}

    def wait_at_most(self, silence_s: float) -> None:
        """Bounds how long a connection may be made, or say nothing, from now on; seconds."""
        self._http.timeout = silence_s
        for connection in self._http.connections.values():
            connection.timeout = silence_s
            if connection.sock is not None:
                connection.sock.settimeout(silence_s)

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[httplib2.Response, bytes]:
        """Sends a request and returns (response, body), as httplib2 does; once more, with a new token, after a 401.

        The body is bytes or text, never a file: it may be sent more than once.
        """
        try:
            token = self._tokens.token()
            response, content = self._send(token, uri, method, body, headers, more)
            if response.status == _UNAUTHORIZED:
                token = self._tokens.renew(token)
                response, content = self._send(token, uri, method, body, headers, more)
        except Exception:
            # Half an answer may be left on a connection.
            self._http.close()
            raise
        return response, content

    def cut(self) -> None:
        """Ends every connection, from another thread: what waits on one fails at once."""
        for connection in list(self._http.connections.values()):
            if (held := connection.sock) is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which takes the encryption away from under the reader.
                    socket.socket.shutdown(held, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _send(
        self, token: str, uri: str, method: str, body: Any, headers: dict[str, str] | None, more: dict[str, Any]
    ) -> tuple[httplib2.Response, bytes]:
        signed = {**(headers or {}), "authorization": f"Bearer {token}"}
        answer: tuple[httplib2.Response, bytes] = self._http.request(uri, method, body=body, headers=signed, **more)
        return answer
