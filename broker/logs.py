"""Logs: one JSON object a line on standard error, English event codes, no content.

Never logged: bodies, subjects, names, tokens, keys. A processor drops members with such names, should one slip in;
what is logged of a letter is its id, digest, agencies and numbers of bytes.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

FORBIDDEN = frozenset(
    {"body", "subject", "content", "token", "jws", "name", "registered_by", "returned_by", "note", "password"}
)


def speak_for(agency: str) -> None:
    """From now on ``agency`` stands in every line that this task, and every task begun by it, logs."""
    structlog.contextvars.bind_contextvars(agency=agency)


def configure(level: int = logging.INFO) -> None:
    """Set up logging for this process; see :func:`speak_for`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            _drop_forbidden,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The AMQP libraries log whole frames at DEBUG and peer texts at WARNING; the session logs what matters.
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _drop_forbidden(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for member in FORBIDDEN & event.keys():
        event[member] = "[withheld]"
    return event
