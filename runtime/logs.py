"""Structured logs: one JSON object a line on standard error, with the request's id and nothing biometric.

Never logged: vectors, images, landmarks, deletion tokens, keys, file names that callers gave.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Any, cast

import structlog

request_id: ContextVar[str] = ContextVar("request_id", default="")


def _add_request_id(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    current = request_id.get()
    if current:
        event["request_id"] = current
    return event


def configure_logs(service: str, level: str) -> None:
    """Sends structlog's and the standard library's records to standard error as JSON lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.EventRenamer("message"),
    ]
    structlog.contextvars.bind_contextvars(service=service)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries log requests, statements and addresses at INFO; only what goes wrong there is ours to show.
    root.setLevel(max(number, logging.WARNING))


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Returns the logger that a module uses."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(module=name))
