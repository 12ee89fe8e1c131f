"""`tarasul agency …`: run an adapter, and speak to a running one through its local API.

Results go to standard output, messages to standard error. With ``--json`` the result is the API's own answer. Refusals
are raised: the command ``tarasul`` tells them and knows their exit codes (:mod:`deploy.command`).
"""

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agency_adapter.client import AdapterClient, ProblemAnswer, segment
from agency_adapter.drafting import Draft, compose, read_file
from agency_adapter.outcomes import all_delivered, await_outcomes
from agency_adapter.settings import read_settings
from schemas.delivery import TransmissionState
from schemas.errors import ErrorCode, Refused
from schemas.reasons import ReturnReason

if TYPE_CHECKING:
    from agency_adapter.printing import Printer

DONE, REFUSED, NOT_THERE = 0, 1, 3
UNFORESEEN_STATUS = 500

agency_app = typer.Typer(
    name="agency",
    help="محوّل الجهة · An agency's adapter: run it, send, list, register, return.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", "-c", envvar="TARASUL_CONFIG", help="Settings file of the adapter.")]
Json = Annotated[bool, typer.Option("--json", help="The API's answer instead of a table.")]
LetterId = Annotated[str, typer.Argument(metavar="ID", help="The letter's id.")]
Cursor = Annotated[str | None, typer.Option(help="The part of the list that follows: the 'next' of the last one.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="Entries at most.")]
Clerk = Annotated[str, typer.Option("--by", help="Post or user of the clerk.")]
FromAgency = Annotated[
    str | None, typer.Option("--from", help="Sending agency, when two agencies' letters bear the same id.")
]

DEFAULT_CONFIG = Path("adapter.toml")


@agency_app.command()
def run(
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            envvar="TARASUL_CONFIG",
            help="Settings file of the adapter; may be repeated: one process then hosts several agencies.",
        ),
    ] = None,
    *,
    as_json: Json = False,  # noqa: ARG001 - of a refusal, which is told elsewhere
) -> None:
    """شغّل المحوّل حتى يُطلب إيقافه · Run the adapter until it is told to stop."""
    from agency_adapter.serving import run_adapters  # noqa: PLC0415 - the other commands need none of it

    raise typer.Exit(run_adapters(config or [DEFAULT_CONFIG]))


@agency_app.command()
def send(
    request: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The letter as JSON; '-' reads standard input.")
    ] = None,
    *,
    to: Annotated[list[str] | None, typer.Option(help="Agency code; may be repeated.")] = None,
    cc: Annotated[list[str] | None, typer.Option(help="Agency code of a copy; may be repeated.")] = None,
    subject: Annotated[str | None, typer.Option()] = None,
    body_file: Annotated[Path | None, typer.Option(help="Text, UTF-8; '-' reads standard input.")] = None,
    letter_type: Annotated[str | None, typer.Option("--type", help="letter.general/1 unless given.")] = None,
    urgency: Annotated[str | None, typer.Option(help="ROUTINE, URGENT, VERY_URGENT or IMMEDIATE.")] = None,
    reply_to: Annotated[str | None, typer.Option(metavar="ID", help="A letter that this one answers.")] = None,
    fields: Annotated[str | None, typer.Option(metavar="JSON", help="The type's own fields.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Made up unless given.")] = None,
    wait: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, max=86400, help="Wait for every outcome.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """أرسل كتاباً من ملف JSON أو من الخيارات · Send a letter: from a JSON file, or from options."""
    draft = Draft(to or (), cc or (), subject, body_file, letter_type, urgency, reply_to, fields)
    if (request is None) == draft.empty:
        raise typer.BadParameter("give a FILE, or the letter in options (--to, --subject, --body-file …)")
    key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
    with _known_by(key):
        if not (key.isascii() and key.isprintable()):
            raise Refused(ErrorCode.IDEMPOTENCY_KEY_INVALID)
        client = _client(config)
        document: bytes | dict[str, Any]
        if request is not None:
            document = read_file(request)
        else:
            document = compose(draft, lambda letter_id: client.get(f"/v1/letters/{segment(letter_id)}"))
        accepted = client.post("/v1/letters", document, {"Idempotency-Key": key})
        if not as_json:
            _printer().facts(
                (
                    (("رقم الصادر", "outgoing no."), accepted["outgoing_no"]),
                    (("المعرّف", "id"), accepted["id"]),
                )
            )
        try:
            if wait is not None:
                letter = await_outcomes(client, accepted["id"], wait, None if as_json else _printer(errors=True))
                accepted["transmissions"] = letter["transmissions"]
                if not as_json:
                    _printer().transmissions(letter)
        finally:
            if as_json:
                _put(accepted)  # accepted it is, whatever comes of the waiting
        if wait is not None:
            raise typer.Exit(DONE if all_delivered(letter, wait) else REFUSED)


@agency_app.command()
def outbox(
    *,
    state: Annotated[TransmissionState | None, typer.Option(help="Only letters in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض الكتب الصادرة، الأحدث أولاً · List letters sent, newest first."""
    page = _client(config).get("/v1/outbox", state=state, limit=limit, cursor=cursor)
    if as_json:
        _put(page)
    else:
        _printer().outbox(page["items"])
        _more(page)


@agency_app.command()
def inbox(
    *,
    state: Annotated[
        Literal["received", "awaiting_attachments", "registered", "returned"] | None,
        typer.Option(help="Only letters in this state."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض الكتب الواردة، الأحدث أولاً · List letters that arrived, newest first."""
    page = _client(config).get("/v1/inbox", state=state, limit=limit, cursor=cursor)
    if as_json:
        _put(page)
    else:
        _printer().inbox(page["items"])
        _more(page)


@agency_app.command()
def show(
    letter_id: LetterId,
    *,
    jws: Annotated[bool, typer.Option("--jws", help="The signed bytes alone, for 'tarasul verify'.")] = False,
    sender: FromAgency = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض كتاباً صادراً أو وارداً · Show a letter of either direction."""
    path = f"/v1/letters/{segment(letter_id)}"
    if jws:
        sys.stdout.buffer.write(_client(config).get_bytes(f"{path}/jws", sender=sender))
        return
    letter = _client(config).get(path, sender=sender)
    if as_json:
        _put(letter)
    else:
        _printer().letter(letter)


@agency_app.command()
def timeline(
    letter_id: LetterId, *, sender: FromAgency = None, config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """اعرض كل ما جرى للكتاب · Show everything that happened to a letter."""
    found = _client(config).get(f"/v1/letters/{segment(letter_id)}/timeline", sender=sender)
    if as_json:
        _put(found)
    else:
        _printer().timeline(found["entries"])


@agency_app.command()
def register(
    letter_id: LetterId,
    *,
    by: Clerk,
    number: Annotated[str | None, typer.Option(help="The agency's own number; one is given otherwise.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit to which it goes.")] = None,
    sender: FromAgency = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """قيّد كتاباً وارداً وأبلغ مرسله · Register an arrived letter and tell its sender."""
    act = _given(registered_by=by, incoming_no=number, unit=unit, sender=sender)
    registered = _client(config).post(f"/v1/inbox/{segment(letter_id)}/registration", act)
    if as_json:
        _put(registered)
    else:
        _printer().facts(
            (
                (("رقم الوارد", "incoming no."), registered["incoming_no"]),
                (("من", "from"), registered["sender"]),
            )
        )


@agency_app.command("return")
def return_(
    letter_id: LetterId,
    *,
    reason: Annotated[ReturnReason, typer.Option(help="Why.")],
    by: Clerk,
    note: Annotated[str | None, typer.Option(help="A word to the sender.")] = None,
    sender: FromAgency = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """أعد كتاباً وارداً إلى مرسله مع السبب · Return an arrived letter to its sender, with a reason."""
    act = _given(returned_by=by, reason=reason.value, note=note, sender=sender)
    returned = _client(config).post(f"/v1/inbox/{segment(letter_id)}/return", act)
    if as_json:
        _put(returned)
    else:
        _printer().facts(((("أُعيد إلى", "returned to"), returned["sender"]),))


@agency_app.command()
def quarantine(
    *, limit: Limit = 50, cursor: Cursor = None, config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """اعرض ما وُضع في الحجر، الأحدث أولاً · List what was put aside, newest first."""
    page = _client(config).get("/v1/quarantine", limit=limit, cursor=cursor)
    if as_json:
        _put(page)
    else:
        _printer().quarantine(page["items"])
        _more(page)


@agency_app.command()
def incidents(
    *, limit: Limit = 50, cursor: Cursor = None, config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """اعرض حوادث حساب الجهة نفسها كما تقولها السلطة · List incidents of our own account, as the authority says."""
    page = _client(config).get("/v1/incidents", limit=limit, cursor=cursor)
    if as_json:
        _put(page)
    else:
        _printer().incidents(page["items"])
        _more(page)


@agency_app.command()
def directory(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """اعرض جهات الدليل المعمول به · List the agencies of the directory in force."""
    listing = _client(config).get("/v1/directory")
    if as_json:
        _put(listing)
    else:
        _printer().directory(listing)


@agency_app.command()
def numbers(
    direction: Annotated[Literal["outgoing", "incoming"], typer.Argument()],
    *,
    year: Annotated[int | None, typer.Option(min=1990, max=2200, help="This year unless given.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """اعرض أرقام سلسلة المحوّل التي لا يحملها كتاب · List numbers of the series that no letter bears."""
    listing = _client(config).get(f"/v1/numbers/{segment(direction)}/gaps", year=year)
    if as_json:
        _put(listing)
    else:
        _printer().gaps(listing)


@agency_app.command()
def status(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """بيّن هل المحوّل جاهز وما ينقصه · Say whether the adapter can work, and what is missing."""
    try:
        answer = _client(config).get("/readyz")
    except ProblemAnswer as problem:
        if problem.code is not ErrorCode.NOT_READY:
            raise
        answer = dict(problem.document)
    if as_json:
        _put(answer)
    else:
        _printer().readiness(answer)
    raise typer.Exit(DONE if answer["ready"] else NOT_THERE)


def _printer(*, errors: bool = False) -> "Printer":
    # `agency run`, and whoever asks with --json, print nothing for people.
    from agency_adapter.printing import Printer  # noqa: PLC0415

    return Printer(errors=errors)


@contextlib.contextmanager
def _known_by(idempotency_key: str) -> Iterator[None]:
    """What was refused may have been accepted all the same: the key is told, with which it cannot be sent twice."""
    try:
        yield
    except Refused as refusal:
        if refusal.status >= UNFORESEEN_STATUS:
            refusal.again["idempotency_key"] = idempotency_key
        raise


def _client(config: Path) -> AdapterClient:
    return AdapterClient.of(read_settings(config))


def _given(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _more(page: Mapping[str, Any]) -> None:
    if page["next"] is not None:
        _printer(errors=True).line("للمزيد", "for more:", f"--cursor {page['next']}")


def _put(document: Mapping[str, Any]) -> None:
    """One JSON object, UTF-8 whatever the terminal is set to."""
    sys.stdout.flush()
    sys.stdout.buffer.write(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    sys.stdout.buffer.flush()
