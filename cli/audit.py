"""``twin audit``: is the audit log what was written, and what is in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc

from cli.errors import CommandError, in_words
from cli.settings import ClientSettings
from runtime.channels import LOCAL_OPTIONS

_PAGE_SIZE: Final = 1000
_PAGE_TIMEOUT_S: Final = 30.0


def verify(head: str | None, settings: ClientSettings, console: Console) -> int:
    """Checks the whole log; returns 1 when it is not what was written, and says from where on.

    head: ``LINK:HASH`` of an earlier check, which the log must still hold; the last one that was found right from here
    when None. Raises CommandError.
    """
    remembered = settings.data_path("audit", "head")
    known = _read_head(head, remembered)
    target = settings.target("vectorstore")
    outcome = pb.VerifyAuditResponse()
    with grpc.insecure_channel(target, options=LOCAL_OPTIONS) as channel, console.status("checking") as status:
        stub = vectorstore_pb2_grpc.VectorStoreServiceStub(channel)
        try:
            for outcome in stub.VerifyAudit(pb.VerifyAuditRequest(known_head=known)):
                status.update(f"{outcome.entry_count:,} entries checked")
        except grpc.RpcError as error:
            raise CommandError(in_words(error, target)) from error
    if outcome.HasField("fault"):
        fault = outcome.fault
        entries = f" (entries {fault.first_audit_id} to {fault.last_audit_id})" if fault.last_audit_id else ""
        console.print(f"BROKEN at link {fault.link_id}{entries}: {fault.description}", soft_wrap=True)
        console.print(f"{outcome.entry_count} entries before it are as they were written", soft_wrap=True)
        if known is not None and head is None:
            console.print(f"after a backup was restored, remove {remembered} to begin anew", soft_wrap=True)
        return 1
    written = f"{outcome.head.link_id}:{outcome.head.sha256.hex()}"
    remembered.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    remembered.write_text(f"{written}\n")
    console.print(f"{outcome.entry_count} entries are as they were written", soft_wrap=True)
    console.print(f"head {written}", soft_wrap=True)
    return 0


def list_entries(limit: int, settings: ClientSettings, console: Console) -> int:
    """Prints the newest entries, the newest first; raises CommandError."""
    table = Table()
    for heading in ("entry", "time", "action", "gallery", "photo", "request"):
        table.add_column(heading, no_wrap=True)
    for entry in _newest(limit, settings):
        time = entry.audit_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
        photo = entry.photo_id or (f"{entry.photo_count} photos" if entry.photo_count else "")
        table.add_row(str(entry.audit_id), time, entry.action, entry.gallery, photo, entry.request_id)
    console.print(table)
    return 0


def _newest(limit: int, settings: ClientSettings) -> Iterator[pb.AuditEntry]:
    target = settings.target("vectorstore")
    token = ""
    with grpc.insecure_channel(target, options=LOCAL_OPTIONS) as channel:
        stub = vectorstore_pb2_grpc.VectorStoreServiceStub(channel)
        while limit > 0:
            request = pb.ListAuditRequest(page_size=min(limit, _PAGE_SIZE), page_token=token)
            try:
                page = stub.ListAudit(request, timeout=_PAGE_TIMEOUT_S)
            except grpc.RpcError as error:
                raise CommandError(in_words(error, target)) from error
            yield from page.entries
            limit -= len(page.entries)
            token = page.next_page_token
            if not token:
                return


def _read_head(given: str | None, remembered: Path) -> pb.AuditHead | None:
    text = given
    if text is None:
        if not remembered.exists():
            return None
        text = remembered.read_text().strip()
    link, _, sha256 = text.partition(":")
    try:
        return pb.AuditHead(link_id=int(link), sha256=bytes.fromhex(sha256))
    except ValueError as error:
        where = "--head" if given is not None else str(remembered)
        raise CommandError(f"{where} is no head; one is LINK:HASH, as an earlier check printed it") from error
