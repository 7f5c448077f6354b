"""The q language of files.list, as much of it as there is use for."""

import re
from collections.abc import Callable
from typing import Any, Final

Metadata = dict[str, Any]
Predicate = Callable[[Metadata], bool]

_TOKEN: Final = re.compile(r"\s*(?:('(?:[^'\\]|\\['\\])*')|(!=|<=|>=|[=<>(){}])|([A-Za-z]+))")


class BadQuery(ValueError):
    """Drive would answer 400."""


def parse(text: str) -> Predicate:
    """Returns what tells whether a file is meant; raises BadQuery, as for a string that ends where it should not."""
    if not text.strip():
        return lambda _file: True
    parser = _Parser(_tokens(text))
    predicate = parser.alternatives()
    if parser.peek() is not None:
        raise BadQuery(f"{parser.peek()!r} was not expected")
    return predicate


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadQuery(f"cannot be read from {text[position:]!r}")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._next = 0

    def peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def take(self, *expected: str) -> str:
        token = self.peek()
        if token is None or (expected and token not in expected):
            raise BadQuery(f"{token!r} instead of {expected}")
        self._next += 1
        return token

    def string(self) -> str:
        token = self.take()
        if not token.startswith("'"):
            raise BadQuery(f"{token!r} is no string")
        return re.sub(r"\\(['\\])", r"\1", token[1:-1])

    def alternatives(self) -> Predicate:
        parts = [self.conjunction()]
        while self.peek() == "or":
            self.take()
            parts.append(self.conjunction())
        return lambda file: any(part(file) for part in parts)

    def conjunction(self) -> Predicate:
        parts = [self.term()]
        while self.peek() == "and":
            self.take()
            parts.append(self.term())
        return lambda file: all(part(file) for part in parts)

    def term(self) -> Predicate:
        token = self.peek() or ""
        if token == "not":
            self.take()
            inner = self.term()
            return lambda file: not inner(file)
        if token == "(":
            self.take()
            inner = self.alternatives()
            self.take(")")
            return inner
        if token.startswith("'"):
            value = self.string()
            self.take("in")
            self.take("parents")
            return lambda file: value in file["parents"]
        return self._field(self.take())

    def _field(self, name: str) -> Predicate:
        if name == "trashed":
            self.take("=")
            wanted = self.take("true", "false") == "true"
            return lambda file: file["trashed"] == wanted
        if name == "appProperties":
            return self._properties()
        if name not in ("name", "mimeType", "modifiedTime"):
            raise BadQuery(f"{name!r} is not known here")
        operator, value = self.take("=", "!=", "contains", ">", "<"), self.string()
        return {
            "=": lambda file: file[name] == value,
            "!=": lambda file: file[name] != value,
            "contains": lambda file: value in file[name],
            ">": lambda file: file[name] > value,
            "<": lambda file: file[name] < value,
        }[operator]

    def _properties(self) -> Predicate:
        self.take("has")
        self.take("{")
        self.take("key")
        self.take("=")
        key = self.string()
        self.take("and")
        self.take("value")
        self.take("=")
        value = self.string()
        self.take("}")
        return lambda file: file["appProperties"].get(key) == value
