"""Logs: one JSON object a line on standard error, English event codes, no content.

Never logged: bodies, subjects, names, tokens, keys. What is logged of a letter is its id, digest, agencies and numbers
of bytes. A processor drops members with such names, should one slip in; an exception is told by its type and its
places, never by its text or its variables, in which content stands; and of what libraries log, only the first line as
they wrote it in their source.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any

import structlog
from structlog.typing import ExcInfo

from schemas.errors import Refused

FORBIDDEN = frozenset(
    {"body", "subject", "content", "token", "jws", "name", "registered_by", "returned_by", "note", "password"}
)
MOST_PLACES = 12
LONGEST_MESSAGE = 200


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
            structlog.processors.ExceptionRenderer(_told),
            _drop_forbidden,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    # The AMQP libraries log whole frames at DEBUG and peer texts at WARNING; the session logs what matters.
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def places(error: BaseException) -> list[str]:
    """Where ``error`` came through, innermost last, without values."""
    return [
        f"{frame.filename.rpartition('/site-packages/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-MOST_PLACES:]
    ]


def _told(exc_info: ExcInfo) -> list[dict[str, Any]]:
    return [
        {"type": type(error).__name__, "places": places(error)}
        | ({"code": error.code} if isinstance(error, Refused) else {})
        for error in _chain(exc_info[1])
    ]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class _Libraries(logging.Handler):
    """What a library logs by the standard module, as a line like all others."""

    _log = structlog.get_logger("library")

    def emit(self, record: logging.LogRecord) -> None:
        # The arguments are values; a warning has its whole text, which is about code, as its one argument.
        text = record.getMessage() if record.name == "py.warnings" else str(record.msg)
        message = text.partition("\n")[0][:LONGEST_MESSAGE]
        self._log.log(
            record.levelno, "library_says", library=record.name, message=message, exc_info=record.exc_info or None
        )


def _drop_forbidden(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for member in FORBIDDEN & event.keys():
        event[member] = "[withheld]"
    return event
