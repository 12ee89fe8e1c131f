"""`tarasul authority …`: found an authority, sign its directory, make and check the broker's topology.

Results go to standard output, messages to standard error. Exit codes: 0 done, 1 refused, or the broker differs from
the directory, 2 wrong use, 3 not reachable. With ``--json`` the result is one JSON object.
"""

import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from broker.clock import Clock
from broker.management import Credentials, Management
from broker.topology import Topology, build_topology, check_sizes
from broker.topology_apply import apply, check
from broker.topology_plan import Change
from gateway.bootstrap import bootstrap, hand_out_directory
from gateway.command_parts import DEFAULT_CONFIG, Config, Json, put
from gateway.dead_letters_command import dead_letters_app
from gateway.journal_command import journal_app
from gateway.log_command import log_app
from gateway.members import Members
from gateway.settings import AuthoritySettings, read_authority_settings
from gateway.settings_files import BrokerPlace
from schemas.agencies import connected
from schemas.errors import ErrorCode, Refused
from trust.certificates import read_certificate
from trust.directory import Directory, read_directory_file

FIRST_API_PORT = 8101
HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
STATISTICS_SECONDS = 12.0
STATISTICS_POLL_SECONDS = 0.5

authority_app = typer.Typer(
    name="authority",
    help="السلطة المركزية · The central authority: found it, sign the directory, make the broker's topology.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
topology_app = typer.Typer(
    help="بنية الوسيط كما يقتضيها الدليل · The broker's exchanges, queues, policies and accounts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
authority_app.add_typer(topology_app, name="topology")
authority_app.add_typer(dead_letters_app, name="dead-letters")
authority_app.add_typer(journal_app, name="journal")
authority_app.add_typer(log_app, name="log")


@authority_app.command("bootstrap")
def found(
    folder: Annotated[Path, typer.Argument(help="Empty, or not there yet.")],
    *,
    agency: Annotated[
        list[str] | None, typer.Option(help="Code of a member; may be repeated. The 52 unless given.")
    ] = None,
    broker_host: Annotated[str, typer.Option(help="Host to which the broker's certificate is issued.")] = "localhost",
    broker_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of AMQP over TLS.")] = 5671,
    as_json: Json = False,
) -> None:
    """أسّس السلطة: الجذر والمفاتيح والدليل ومجلد لكل جهة · Found: root, keys, directory, a folder for each agency."""
    if folder.resolve() == Path.cwd():
        raise typer.BadParameter("the folder is replaced in one step: name it from outside", param_hint="FOLDER")
    if not HOST.fullmatch(broker_host):
        raise typer.BadParameter("a host name, as in the broker's certificate", param_hint="--broker-host")
    codes = list(dict.fromkeys(agency or (member.code for member in connected())))
    ports = range(FIRST_API_PORT, FIRST_API_PORT + len(codes))
    place = BrokerPlace(host=broker_host, port=broker_port)
    bootstrap(folder, codes, Clock().now(), broker=place, api_ports=ports)
    if as_json:
        put({"folder": str(folder), "agencies": codes, "root": str(folder / "root-offline")})
        return
    _say(
        (
            f"أُنشئت السلطة في {folder} ولها {len(codes)} جهة.",
            f"The authority is in {folder}, with {len(codes)} agencies.",
            f"انقل {folder / 'root-offline'} إلى وسيط غير متصل بشبكة: فيه مفتاح الجذر.",
            f"Move {folder / 'root-offline'} to a medium without a network: it holds the root's key.",
        )
    )


@authority_app.command()
def directory(
    folder: Annotated[Path, typer.Argument(help="The folder that bootstrap made.")], *, as_json: Json = False
) -> None:
    """وقّع الإصدار التالي من الدليل وسلّمه إلى مجلدات الجهات · Sign the next directory and hand it to the folders."""
    with Members.held(folder) as members:
        members.sign_next(Clock().now())
        handed = hand_out_directory(folder)
    if as_json:
        put({"version": members.version, "agencies": handed})
        return
    _say((f"وُقّع الدليل، الإصدار {members.version}.", f"Directory {members.version} is signed."))


@authority_app.command()
def run(*, config: Config = DEFAULT_CONFIG) -> None:
    """شغّل أعمال السلطة حتى يُطلب إيقافها · Read the journal, keep the log, audit dead letters, until told to stop.

    Several may run: one works, others stand by.
    """
    from gateway.serving import run_authority  # noqa: PLC0415 - the other commands need none of it

    raise typer.Exit(run_authority(read_authority_settings(config)))


@topology_app.command()
def plan(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """اعرض ما سيفعله apply وهل يتسع القرص للصفوف · Show what apply would do, and whether the disk suffices."""
    settings = read_authority_settings(config)
    topology = _topology(settings)
    with _management(settings) as management:
        changes = check(management, topology)
        disk = _disk(settings, management)
    agencies = sum(name.startswith("notices.") for name in topology.queues)
    needed = settings.broker.limits.needed(agencies)
    if as_json:
        put({"changes": _listed(changes), "needed_bytes": needed, "disk_bytes": disk})
    else:
        _show(changes)
        _say((f"تحتاج الصفوف {needed:,} بايت من {disk:,}.", f"The queues may need {needed:,} bytes of {disk:,}."))
    check_sizes(agencies, settings.broker.limits, disk)


@topology_app.command("apply")
def apply_plan(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """اجعل الوسيط كما يقتضيه الدليل · Make the broker what the directory asks for.

    A queue that holds messages is never deleted.
    """
    settings = read_authority_settings(config)
    topology = _topology(settings)
    with _management(settings) as management:
        agencies = sum(name.startswith("notices.") for name in topology.queues)
        check_sizes(agencies, settings.broker.limits, _disk(settings, management))
        applied = apply(management, topology)
    if as_json:
        put(
            {
                "done": _listed(applied.done),
                "left": _listed(applied.left),
                "refusals": [each.as_document() for each in applied.refusals],
            }
        )
    else:
        _show(applied.done)
        for refusal in applied.refusals:
            _warn(refusal)
    if applied.left:
        raise Refused(ErrorCode.TOPOLOGY_DRIFT, differences=len(applied.left))


@topology_app.command("check")
def check_broker(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """قارن الوسيط بالدليل · Compare the broker with the directory; exit 1 when they differ."""
    settings = read_authority_settings(config)
    with _management(settings) as management:
        changes = check(management, _topology(settings))
    if as_json:
        put({"agrees": not changes, "changes": _listed(changes)})
    else:
        _show(changes)
    if changes:
        raise Refused(ErrorCode.TOPOLOGY_DRIFT, differences=len(changes))


def _topology(settings: AuthoritySettings) -> Topology:
    """From the signed directory, verified as any reader verifies it."""
    raw = read_directory_file(settings.path(settings.directory_file))
    anchor = read_certificate(settings.path(settings.root))
    directory = Directory.open(raw, [anchor], Clock().now())
    return build_topology(directory.agencies, settings.broker.limits, settings.broker.cluster)


def _management(settings: AuthoritySettings) -> Management:
    broker = settings.broker
    authority = settings.path(broker.ca_file)
    try:
        return Management(broker.management, Credentials.read(settings.path(broker.credentials)), authority=authority)
    except OSError as error:
        # Of the file: nothing has been connected yet.
        problem = error.strerror or type(error).__name__
        raise Refused(ErrorCode.SETTINGS_INVALID, path=str(authority), problem=problem) from error


def _disk(settings: AuthoritySettings, management: Management) -> int:
    """Bytes of the disk with the broker's data.

    Raises:
        Refused: ``settings_invalid`` when the broker is elsewhere and the setting is missing.
    """
    if settings.broker.disk_bytes is not None:
        return settings.broker.disk_bytes
    local = urlsplit(management.url).hostname in {"127.0.0.1", "::1", "localhost"}
    place = _data_folder(management) if local else None
    if place is None or not place.exists():
        raise Refused(
            ErrorCode.SETTINGS_INVALID,
            path="authority.toml",
            problem_ar="broker.disk_bytes: مطلوب لأن بيانات الوسيط على جهاز آخر",
            problem="broker.disk_bytes: needed, as the broker's data is on another machine",
        )
    return shutil.disk_usage(place).total


def _data_folder(management: Management) -> Path | None:
    """Where the broker keeps its data; it says so some seconds after its start, with its first statistics."""
    clock = Clock()
    deadline = clock.monotonic() + STATISTICS_SECONDS
    while True:
        for node in management.get("/api/nodes") or ():
            if node.get("db_dir"):
                return Path(str(node["db_dir"]))
        if clock.monotonic() >= deadline:
            return None
        time.sleep(STATISTICS_POLL_SECONDS)


def _listed(changes: Iterable[Change]) -> list[dict[str, object]]:
    return [change.as_json() for change in changes]


def _show(changes: Iterable[Change]) -> None:
    lines = [f"{c.action:8} {c.kind:17} {' '.join(c.key)}" + (f"  ({c.detail})" if c.detail else "") for c in changes]
    _say(lines or ("لا فرق.", "Nothing to do."))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _warn(refusal: Refused) -> None:
    for line in (*refusal.lines("ar"), *refusal.lines("en")):
        typer.echo(line, err=True)
