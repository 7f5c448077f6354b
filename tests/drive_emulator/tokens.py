"""The emulated OAuth: who may ask for tokens, which are good, and what they reach."""

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Final

FILE_SCOPE: Final = "https://www.googleapis.com/auth/drive.file"


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token stands for."""

    scopes: frozenset[str]
    is_service_account: bool

    @property
    def sees_all(self) -> bool:
        """False where only what the application made is shown."""
        return not self.scopes <= {FILE_SCOPE}


class Tokens:
    """Grants and access tokens; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grants: dict[str, frozenset[str]] = {}
        self._codes: dict[str, frozenset[str]] = {}
        self._service_accounts: set[str] = set()
        self._access: dict[str, Access] = {}
        self.refreshes = 0
        self.lifetime_s = 3599

    def grant(self, *scopes: str) -> str:
        """Returns a refresh token, as a sign-in does."""
        token = f"1//{secrets.token_urlsafe(12)}"
        with self._lock:
            self._grants[token] = frozenset(scopes or {FILE_SCOPE})
        return token

    def authorize(self, scopes: str) -> str:
        """Returns the code that a browser brings back from a sign-in."""
        code = secrets.token_urlsafe(12)
        with self._lock:
            self._codes[code] = frozenset(scopes.split())
        return code

    def add_service_account(self, email: str) -> None:
        with self._lock:
            self._service_accounts.add(email)

    def revoke_all(self) -> None:
        """Takes every grant back: what is asked from now on is answered invalid_grant."""
        with self._lock:
            self._grants.clear()
            self._service_accounts.clear()
            self._access.clear()

    def expire(self) -> None:
        """No access token is good any more; new ones can be had."""
        with self._lock:
            self._access.clear()

    def access(self, authorization: str) -> Access | None:
        with self._lock:
            return self._access.get(authorization.removeprefix("Bearer "))

    def issue(self, form: Any) -> dict[str, Any] | None:
        """Answers a request for a token; None means invalid_grant."""
        with self._lock:
            self.refreshes += 1
            refresh_token = None
            if form.get("grant_type") == "authorization_code":
                scopes, is_service_account = self._codes.pop(form.get("code", ""), None), False
                if scopes is not None:
                    refresh_token = f"1//{secrets.token_urlsafe(12)}"
                    self._grants[refresh_token] = scopes
            elif form.get("grant_type") == "refresh_token":
                scopes = self._grants.get(form.get("refresh_token", ""))
                is_service_account = False
            else:
                claims = _claims(form.get("assertion", ""))
                is_service_account = True
                scopes = frozenset(claims["scope"].split()) if claims.get("iss") in self._service_accounts else None
            if scopes is None:
                return None
            token = f"ya29.{secrets.token_urlsafe(16)}"
            self._access[token] = Access(scopes, is_service_account)
        answer = {
            "access_token": token,
            "expires_in": self.lifetime_s,
            "token_type": "Bearer",
            "scope": " ".join(sorted(scopes)),
        }
        return answer if refresh_token is None else {**answer, "refresh_token": refresh_token}


def _claims(assertion: str) -> dict[str, Any]:
    body = assertion.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims
