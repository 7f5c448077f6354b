"""Is the audit log what was written? Every link of its chain is worked out anew from the entries that it stands for.

This finds an entry that was changed, removed, added or moved, and a link that was. Whoever may write to the database
can still make all of it anew, or cut off the end: that shows against a head, the last link of an earlier check,
which was kept elsewhere.
"""

import asyncio
import hashlib
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vectorstore.copy_binary import to_postgres_us
from vectorstore.database import Database

# The chain before its first link.
NO_HASH: Final = bytes(32)
# Entries in memory at a time; a link stands for about a thousand, and for no more than this whatever it says.
_PAGE_ENTRIES: Final = 2000
_MOST_ENTRIES: Final = 100_000
_PAGE_LINKS: Final = 1000
# As migration 0007 describes them.
_LINK: Final = struct.Struct(">qqq")
_ENTRY: Final = struct.Struct(">qq16sqqiii")
_NO_PHOTO: Final = bytes(16)
# Nobody gives out such ids, and an entry that has one is none of ours.
_LOWEST_ID: Final = -(2**63)
_ENDS_SQL: Final = """
    SELECT last.link_id, last.last_audit_id,
           (SELECT min(audit_id) FROM audit_log WHERE audit_id > last.last_audit_id) AS unsealed_id
    FROM (
        SELECT link_id, last_audit_id FROM audit_links UNION ALL SELECT 0, 0 ORDER BY link_id DESC LIMIT 1
    ) AS last
"""
# One entry more than there should be tells that there are more.
_ENTRIES_SQL: Final = """
    SELECT * FROM audit_log WHERE audit_id >= $1 AND audit_id <= $2 ORDER BY audit_id LIMIT $3
"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditHead:
    """A link by its number and its hash: what the whole log before it comes down to."""

    link_id: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class AuditFault:
    """The first place at which the log is not what was written, within these ids (0 where no entry is meant)."""

    link_id: int
    first_audit_id: int
    last_audit_id: int
    description: str


@dataclass(frozen=True, slots=True)
class AuditState:
    """How far a check is. head: the last link found right; fault: why the check ended there."""

    entry_count: int
    head: AuditHead
    link_total: int
    fault: AuditFault | None = None


@dataclass(frozen=True, slots=True)
class _Link:
    link_id: int
    last_audit_id: int
    entry_count: int
    sha256: bytes


async def check_audit(database: Database, known: AuditHead | None = None) -> AsyncGenerator[AuditState]:
    """Yields how far it is after every few thousand entries, at last the outcome; the log goes on growing meanwhile.

    known: a head that the log had once. Raises what ``Database.reading`` raises.
    """
    async with database.reading() as connection:
        ends = await connection.fetchrow(_ENDS_SQL)
    state = AuditState(0, AuditHead(0, NO_HASH), ends["link_id"])
    first_audit_id = _LOWEST_ID
    while state.head.link_id < state.link_total and state.fault is None:
        async with database.reading() as connection:
            links = _first_page(
                await connection.fetch(
                    "SELECT * FROM audit_links WHERE link_id > $1 AND link_id <= $2 ORDER BY link_id LIMIT $3",
                    state.head.link_id,
                    state.link_total,
                    _PAGE_LINKS,
                )
            )
            entry_count = min(sum(max(link.entry_count, 0) for link in links), _MOST_ENTRIES)
            entries = await connection.fetch(_ENTRIES_SQL, first_audit_id, links[-1].last_audit_id, entry_count + 1)
        # In a thread: searches go on meanwhile.
        state = await asyncio.to_thread(_check_page, state, links, entries, first_audit_id, known)
        first_audit_id = links[-1].last_audit_id + 1
        yield state
    if state.fault is None:
        yield replace(state, fault=_fault_at_the_end(state, ends["unsealed_id"], known))


def _first_page(rows: Sequence[Row]) -> list[_Link]:
    """Returns as many of the links as stand for few entries, one at least."""
    links: list[_Link] = []
    entry_count = 0
    for row in rows:
        entry_count += row["entry_count"]
        if links and entry_count > _PAGE_ENTRIES:
            break
        links.append(_Link(**{name: row[name] for name in _Link.__slots__}))
    return links


def _check_page(
    state: AuditState, links: Sequence[_Link], entries: Sequence[Row], first_audit_id: int, known: AuditHead | None
) -> AuditState:
    left = iter([*entries, None])
    entry = next(left)
    for link in links:
        if link.link_id != state.head.link_id + 1:
            return replace(state, fault=AuditFault(state.head.link_id + 1, 0, 0, "the link is missing"))
        sealed = []
        while entry is not None and entry["audit_id"] <= link.last_audit_id:
            sealed.append(entry)
            entry = next(left)
        description = _what_is_wrong(state.head.sha256, link, sealed)
        if not description and known is not None and known.link_id == link.link_id and known.sha256 != link.sha256:
            description = "the log up to here was written anew: its hash was another one before"
        if description:
            first = max(first_audit_id, 1)
            return replace(state, fault=AuditFault(link.link_id, first, link.last_audit_id, description))
        first_audit_id = link.last_audit_id + 1
        state = replace(
            state, entry_count=state.entry_count + link.entry_count, head=AuditHead(link.link_id, link.sha256)
        )
    return state


def _what_is_wrong(sha256_before: bytes, link: _Link, entries: Sequence[Row]) -> str:
    if len(entries) < link.entry_count:
        return f"{link.entry_count - len(entries)} of {link.entry_count} entries are missing"
    if len(entries) > link.entry_count:
        return f"there are more than the {link.entry_count} entries that were written"
    if link_hash(sha256_before, link.link_id, link.last_audit_id, entries) != link.sha256:
        return "the entries or their link are not as they were written"
    return ""


def _fault_at_the_end(state: AuditState, unsealed_id: int | None, known: AuditHead | None) -> AuditFault | None:
    if unsealed_id is not None:
        return AuditFault(state.head.link_id + 1, unsealed_id, unsealed_id, "the entry and those after it have no link")
    if known is not None and known.link_id > state.head.link_id:
        return AuditFault(state.head.link_id + 1, 0, 0, f"the end is cut off: there were {known.link_id} links before")
    return None


def link_hash(sha256_before: bytes, link_id: int, last_audit_id: int, entries: Sequence[Row]) -> bytes:
    """Returns the hash of a link over these entries, which are in the order of their ids."""
    digest = hashlib.sha256(sha256_before)
    digest.update(_LINK.pack(link_id, len(entries), last_audit_id))
    digest.update(b"".join(_contents(entries)))
    return digest.digest()


def _contents(entries: Sequence[Row]) -> Iterator[bytes]:
    for entry in entries:
        texts = [entry[name].encode() for name in ("action", "gallery", "request_id")]
        photo_id, revision, photo_count = entry["photo_id"], entry["revision"], entry["photo_count"]
        yield _ENTRY.pack(
            entry["audit_id"],
            to_postgres_us(entry["audit_time"]),
            _NO_PHOTO if photo_id is None else photo_id.bytes,
            -1 if revision is None else revision,
            -1 if photo_count is None else photo_count,
            *(len(text) for text in texts),
        )
        yield from texts
