"""Answers in the words of Drive."""

from typing import Any

from aiohttp import web


class Refused(Exception):
    """Ends a request with an error as Drive words it."""

    def __init__(self, status: int, reason: str, message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.message = status, reason, message or reason
        self.headers = headers or {}

    def response(self) -> web.Response:
        error = {"domain": "global", "reason": self.reason, "message": self.message}
        body = {"error": {"code": self.status, "message": self.message, "errors": [error]}}
        return web.json_response(body, status=self.status, headers=self.headers)


def not_found(file_id: str) -> Refused:
    return Refused(404, "notFound", f"File not found: {file_id}.")


def token_error(kind: str) -> web.Response:
    body: dict[str, Any] = {"error": kind, "error_description": "Token has been expired or revoked."}
    return web.json_response(body, status=400)
