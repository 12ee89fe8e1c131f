"""`tarasul verify`: check a signed document with nothing but the root's certificate and the directory of its day.

    tarasul verify LETTER.jws --anchor root.pem --directory directory.jws

Takes letters, receipts and dead-letter statements; which one it is, the document says. Needs no network, no
broker and no store. Results go to standard output, messages to standard error. Exit codes: 0 verified, 1 not
verified, 2 wrong use.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509

from schemas.errors import ErrorCode, Refused, fill
from trust.errors import VerificationError
from trust.facts import LABELS
from trust.key_files import LARGEST_FILE
from trust.offline import KINDS, Check, Examination, examine
from trust.token import LIMITS, TokenType

VERIFIED, NOT_VERIFIED = 0, 1
FIRST_YEAR, LAST_YEAR = 2000, 9000
_LONGEST_TOKEN: Final = max(LIMITS[typ].token for typ in KINDS)
_ISOLATE, _END = "\u2068", "\u2069"
_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "files": ("الملفات", "files"),
    "token": ("الوثيقة", "document"),
    "anchor": ("الجذر المعتمد", "anchor"),
    "directory": ("دليل الجهات", "directory"),
    "signer": ("صاحب التوقيع", "signer"),
    "signature": ("التوقيع", "signature"),
    "validity": ("صلاحية المفتاح", "validity"),
    "payload": ("المحتوى", "payload"),
    "sender": ("المرسل", "sender"),
}

verify_app = typer.Typer(name="verify", pretty_exceptions_enable=False, add_completion=False)


# Of a group with one command, the command's own help is what is shown.
@verify_app.command(
    help="التحقق من وثيقة موقّعة دون اتصال · Verify a signed letter, receipt or dead-letter statement offline."
)
def verify(
    document: Annotated[Path, typer.Argument(metavar="LETTER.jws", help="The document; '-' reads standard input.")],
    *,
    anchor: Annotated[Path, typer.Option(help="The root's certificate, PEM.")],
    directory: Annotated[Path, typer.Option(help="The signed directory.")],
    at: Annotated[
        str | None, typer.Option(metavar="RFC3339", help="Judge at this instant, by the directory of its day; now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say line by line what was checked, then what the document is; the first check that fails is the last."""
    instant = datetime.now(UTC) if at is None else _instant(at)
    examination = _examined(document, anchor, directory, instant)
    if as_json:
        _put(_document(examination))
    else:
        _print(examination)
    raise typer.Exit(VERIFIED if examination.verified else NOT_VERIFIED)


def _examined(document: Path, anchor: Path, directory: Path, at: datetime) -> Examination:
    try:
        raw = _read_token(document, _LONGEST_TOKEN)
        roots = _read_roots(anchor)
        signed_directory = _read_token(directory, LIMITS[TokenType.DIRECTORY].token)
    except Refused as refusal:
        return Examination(at, (Check("files", refusal=refusal),))
    return examine(raw, roots, signed_directory, at)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None and FIRST_YEAR <= instant.year <= LAST_YEAR:
            return instant.astimezone(UTC)
    except ValueError:
        pass  # refused with the others below
    raise typer.BadParameter("give an instant with its offset, as 2026-11-24T09:30:00+03:00", param_hint="--at")


def _read_token(file: Path, limit: int) -> bytes:
    """The token in a file, without the line end that an editor or a shell adds."""
    content = _bounded(file, limit + len(b"\r\n")).removesuffix(b"\n").removesuffix(b"\r")
    if len(content) > limit:
        raise VerificationError(ErrorCode.TOKEN_TOO_LARGE, size=f"> {limit}", limit=limit)
    return content


def _read_roots(file: Path) -> list[x509.Certificate]:
    content = _bounded(file, LARGEST_FILE)
    try:
        return x509.load_pem_x509_certificates(content)
    except (ValueError, x509.InvalidVersion):
        raise VerificationError(ErrorCode.CERTIFICATE_UNREADABLE, path=str(file)) from None


def _bounded(file: Path, limit: int) -> bytes:
    """The file, or its beginning: a byte more than ``limit`` at most."""
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(limit + 1)
        with file.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise Refused(ErrorCode.FILE_UNREADABLE, path=str(file), problem=problem) from error


def _print(examination: Examination) -> None:
    around = (_ISOLATE, _END) if sys.stdout.isatty() else ("", "")
    for check in examination.checks:
        ar, en = _NAMES[check.name]
        mark, code = ("✓", "") if check.ok else ("✗", f" [{check.refusal.code}]" if check.refusal else "")
        text, *details = check.text("ar", around).split("\n")
        _line(f"{mark} {ar}: {text}{code}")
        for detail in details:
            _line(f"  {detail}")
        _line(f"  {en}: {check.text('en', around)}{code}")
    if not examination.verified:
        _line("✗ الوثيقة غير موثوقة")
        _line("  NOT VERIFIED")
        _say_what_next(examination.checks[-1].refusal)
        return
    _line("✓ الوثيقة موثوقة")
    _line("  VERIFIED")
    _line("")
    for name, value in examination.facts.items():
        ar, en = LABELS[name]
        for each in value if isinstance(value, list) else [value]:
            _line(f"{ar} · {en}: {_shown(each, around)}")


def _say_what_next(refusal: Refused | None) -> None:
    if refusal is not None:
        for line in (*refusal.lines("ar"), *refusal.lines("en")):
            print(line, file=sys.stderr)  # noqa: T201 - a terminal


def _shown(value: object, around: tuple[str, str]) -> str:
    """A fact for a terminal: nothing in it can break or disguise the line."""
    parts = value.values() if isinstance(value, Mapping) else [value]
    return "، ".join(around[0] + fill("{part}", {"part": part}) + around[1] for part in parts)


def _line(text: str) -> None:
    print(text)  # noqa: T201 - standard output is what this command is for


def _document(examination: Examination) -> dict[str, Any]:
    found: dict[str, Any] = {
        "verified": examination.verified,
        "at": examination.at.isoformat(),
        "kind": examination.kind,
        "checks": [_entry(check) for check in examination.checks],
    }
    if examination.verified and examination.kind is not None:
        found[examination.kind] = dict(examination.facts)
    return found


def _entry(check: Check) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": check.name, "ok": check.ok}
    if check.refusal is not None:
        entry["code"] = check.refusal.code.value
        if check.refusal.pointer:
            entry["pointer"] = check.refusal.pointer
        entry |= {"next_step": check.refusal.next_step("en"), "next_step_ar": check.refusal.next_step("ar")}
    return entry | {"detail": check.text("en"), "detail_ar": check.text("ar")}


def _put(document: Mapping[str, Any]) -> None:
    """One JSON object. What does not print is escaped: the values are whole, and a terminal is safe from them."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    _line("".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text))


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]
