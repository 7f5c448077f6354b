"""The audit log between the wire and plain values."""

from typing import Final

from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import InvalidField
from vectorstore.audit import AuditAction, AuditEntry
from vectorstore.audit_check import AuditHead, AuditState
from vectorstore.convert import time_to_wire

_SHA256_BYTES: Final = 32
_EXTERNAL_ACTIONS: Final = {
    pb.EXTERNAL_ACTION_RECONCILE: AuditAction.RECONCILE,
    pb.EXTERNAL_ACTION_IMPORT_PHOTOS: AuditAction.IMPORT_PHOTOS,
}


def action_from_wire(request: pb.RecordAuditRequest) -> AuditAction:
    """Returns what a caller is about to do; raises InvalidField."""
    if request.action not in _EXTERNAL_ACTIONS:
        raise InvalidField("action", f"{request.action} is no action of callers")
    if request.photo_count < 0:
        raise InvalidField("photo_count", "is not negative")
    return _EXTERNAL_ACTIONS[request.action]


def known_head_from_wire(request: pb.VerifyAuditRequest) -> AuditHead | None:
    """Returns the head that the log must hold, if one is given; raises InvalidField."""
    if not request.HasField("known_head"):
        return None
    head = request.known_head
    if head.link_id < 0 or len(head.sha256) != _SHA256_BYTES:
        raise InvalidField("known_head", f"is a link's number and its {_SHA256_BYTES} bytes")
    return AuditHead(head.link_id, head.sha256)


def entry_to_wire(entry: AuditEntry) -> pb.AuditEntry:
    """Returns an entry."""
    return pb.AuditEntry(
        audit_id=entry.audit_id,
        audit_time=time_to_wire(entry.audit_time),
        action=entry.action,
        gallery=entry.gallery,
        photo_id="" if entry.photo_id is None else str(entry.photo_id),
        revision=entry.revision or 0,
        request_id=entry.request_id,
        photo_count=entry.photo_count or 0,
    )


def state_to_wire(state: AuditState) -> pb.VerifyAuditResponse:
    """Returns how far a check is, or how it ended."""
    message = pb.VerifyAuditResponse(
        entry_count=state.entry_count,
        head=pb.AuditHead(link_id=state.head.link_id, sha256=state.head.sha256),
        link_count=state.link_total,
    )
    if state.fault is not None:
        message.fault.link_id = state.fault.link_id
        message.fault.first_audit_id = state.fault.first_audit_id
        message.fault.last_audit_id = state.fault.last_audit_id
        message.fault.description = state.fault.description
    return message
