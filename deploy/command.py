"""The command ``tarasul``. Each group is imported when it is used: an adapter never loads the authority's code."""

import io
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from schemas.errors import ErrorCode, Refused, fill

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

REFUSED, WRONG_USE, NOT_THERE, INTERRUPTED = 1, 2, 3, 130
NOT_READY_STATUS = frozenset({502, 503})

# module, application, what it is for
_GROUPS: dict[str, tuple[str, str, str, str]] = {
    "agency": (
        "agency_adapter.command",
        "agency_app",
        "محوّل الجهة: إرسال واستقبال وقيد",
        "An agency's adapter: send, receive, register.",
    ),
    "authority": (
        "gateway.command",
        "authority_app",
        "السلطة المركزية: التأسيس والدليل وبنية الوسيط والسجل والرسائل المتعذّرة",
        "The central authority: bootstrap, directory, topology, record, dead letters.",
    ),
    "verify": (
        "trust.command",
        "verify_app",
        "التحقق من كتاب أو إيصال موقّع دون اتصال",
        "Verify a signed letter or receipt offline.",
    ),
    "demo": (
        "deploy.demo.command",
        "demo_app",
        "العرض: 52 جهة وقصة وحساب ختامي",
        "The demonstration: 52 agencies, a story, and its books.",
    ),
}


def usage() -> str:
    """What ``tarasul --help`` prints. Nothing of what it lists is imported for it."""
    lines = [
        "تراسل: مراسلات رسمية موقّعة بين الجهات الحكومية",
        "Signed official letters between government agencies.",
        "",
        "Usage: tarasul GROUP COMMAND [OPTIONS]    (tarasul GROUP --help)",
        "       tarasul --version",
        "",
    ]
    for name, (_, _, ar, en) in _GROUPS.items():
        lines += [f"  {name:10} {en}", f"  {'':10} {ar}"]
    return "\n".join(lines)


def exit_code(refusal: Refused) -> int:
    """1: refused or invalid. 3: not reachable or not ready."""
    return NOT_THERE if refusal.status in NOT_READY_STATUS else REFUSED


def report(refusal: Refused, *, as_json: bool = False) -> None:
    """Tell a person on standard error, Arabic first, then English, each with its next step; or a program, as JSON."""
    if as_json:
        _say(json.dumps(refusal.as_document() | refusal.again, ensure_ascii=False, indent=2))
    else:
        from agency_adapter.printing import Printer  # noqa: PLC0415 - rarely needed

        Printer(errors=True).refusal(refusal)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line, without the program's name; returns the exit code."""
    name = arguments[0] if arguments else ""
    if name in {"-h", "--help"}:
        sys.stdout.write(usage() + "\n")
        return 0
    if name == "--version":
        sys.stdout.write(f"tarasul {version('tarasul')}\n")
        return 0
    if name not in _GROUPS:
        unknown = fill("لا أمر باسم {name}. No such group: {name}.\n\n", {"name": name}) if name else ""
        _say(unknown + usage())
        return WRONG_USE
    return _run_group(name, arguments[1:])


def _run_group(name: str, arguments: Sequence[str]) -> int:
    module, attribute, _, _ = _GROUPS[name]
    try:
        group: typer.Typer = getattr(import_module(module), attribute)
        group(args=list(arguments), prog_name=f"tarasul {name}")
    except SystemExit as done:
        if done.code == WRONG_USE:
            # The parser says what is wrong in English alone.
            _say(f"استعمال غير صحيح؛ بيان الأوامر والخيارات: tarasul {name} --help")
        return done.code if isinstance(done.code, int) else REFUSED if done.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Refused as refusal:
        report(refusal, as_json="--json" in arguments)
        return exit_code(refusal)
    return 0


def main() -> None:
    """Entry point; never returns."""
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    code = run(sys.argv[1:])
    sys.stdout.flush()
    if (problem := _problem(sys.stdout)) is not None:
        report(Refused(ErrorCode.OUTPUT_UNWRITABLE, problem=problem), as_json="--json" in sys.argv)
        code = code or REFUSED
    sys.exit(code)


class _Reader(io.RawIOBase):
    """Whoever reads our output. May go before we have ended (``| head``): what is still to be said then goes nowhere.

    So a command comes to its own end, with its own exit code, and none is broken off in the middle of its work. A disk
    that takes no more is a ``problem``, to be reported at that end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.problem: str | None = None

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content: "ReadableBuffer", /) -> int:
        try:
            return os.write(self._descriptor, content)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.problem = error.strerror or type(error).__name__
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor)
            os.close(nowhere)
            return os.write(self._descriptor, content)


def _patient(stream: TextIO | None) -> TextIO:
    """``stream`` as UTF-8, and without a complaint when nobody reads it, or it was closed from the start."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    stream.flush()
    reader = _Reader(stream.fileno())
    at_once = reader.isatty() or stream is sys.stderr or "PYTHONUNBUFFERED" in os.environ
    # Arabic on a terminal or a pipe whose locale says ASCII must not end in a traceback.
    return io.TextIOWrapper(
        io.BufferedWriter(reader), encoding="utf-8", errors="backslashreplace", line_buffering=at_once
    )


def _problem(stream: TextIO) -> str | None:
    """Why what was written to ``stream`` is not whole, if it is not."""
    reader = getattr(stream.buffer, "raw", None)
    return reader.problem if isinstance(reader, _Reader) else None


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
