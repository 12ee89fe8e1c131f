"""Plan and apply on the real broker: idempotent, mending every change made by hand, no mail deleted."""

import asyncio
import base64
import hashlib
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from pamqp import commands

from broker import names
from broker.first_account import TOPOLOGY_USER
from broker.management import Management, path
from broker.publishing import Outcome
from broker.session import SessionState
from broker.topology import TRIAL_SIZES, build_topology
from broker.topology_apply import apply, check
from broker.topology_plan import Change, ChangeAction, ChangeKind
from schemas.agencies import connected
from schemas.errors import ErrorCode
from tests.broker.bed import AGENCIES, MOF_ROUTINE, MOF_URGENT, Broker, Mail, Sessions, eventually, letter
from tests.coverage_of_codes import saw_code
from tests.support.raw_client import RawClient

V = names.VHOST
CONNECTION_FORCED = "320"
CREATE, UPDATE, REPLACE, DELETE = ChangeAction.CREATE, ChangeAction.UPDATE, ChangeAction.REPLACE, ChangeAction.DELETE
QUORUM = {"durable": True, "arguments": {"x-queue-type": "quorum"}}


def brief(changes: tuple[Change, ...] | list[Change]) -> set[tuple[str, str, str]]:
    return {(str(change.action), str(change.kind), " ".join(change.key)) for change in changes}


def password_user(tags: str = "") -> dict[str, str]:
    salted = b"salt" + hashlib.sha256(b"saltsecret").digest()
    return {"password_hash": base64.b64encode(salted).decode(), "tags": tags}


def _binding(source: str, kind: str, destination: str) -> str:
    return path("bindings", V, "e", source, kind, destination)


HandMade = tuple[Callable[[Broker], object], tuple[ChangeAction, ChangeKind, str]]
BY_HAND: dict[str, HandMade] = {
    "a queue too many": (
        lambda b: b.management.put(path("queues", V, "extra"), QUORUM),
        (DELETE, ChangeKind.QUEUE, "extra"),
    ),
    "a queue missing": (
        lambda b: b.management.delete(path("queues", V, "notices.SAB")),
        (CREATE, ChangeKind.QUEUE, "notices.SAB"),
    ),
    "a queue of another type": (
        lambda b: (
            b.management.delete(path("queues", V, "notices.SAB")),
            b.management.put(path("queues", V, "notices.SAB"), {"durable": True}),
        ),
        (REPLACE, ChangeKind.QUEUE, "notices.SAB"),
    ),
    "a queue with arguments of its own": (
        lambda b: (
            b.management.delete(path("queues", V, "notices.SAB")),
            b.management.put(
                path("queues", V, "notices.SAB"),
                {"durable": True, "arguments": {"x-queue-type": "quorum", "x-message-ttl": 60_000}},
            ),
        ),
        (REPLACE, ChangeKind.QUEUE, "notices.SAB"),
    ),
    "an exchange too many": (
        lambda b: b.management.put(path("exchanges", V, "extra"), {"type": "fanout", "durable": True}),
        (DELETE, ChangeKind.EXCHANGE, "extra"),
    ),
    "an exchange missing": (
        lambda b: b.management.delete(path("exchanges", V, "from.SAB")),
        (CREATE, ChangeKind.EXCHANGE, "from.SAB"),
    ),
    "an exchange of another type": (
        lambda b: (
            b.management.delete(path("exchanges", V, "from.SAB")),
            b.management.put(path("exchanges", V, "from.SAB"), {"type": "fanout", "durable": True}),
        ),
        (REPLACE, ChangeKind.EXCHANGE, "from.SAB"),
    ),
    "an exchange with an alternate of its own": (
        lambda b: (
            b.management.delete(path("exchanges", V, "from.SAB")),
            b.management.put(
                path("exchanges", V, "from.SAB"),
                {"type": "topic", "durable": True, "arguments": {"alternate-exchange": "proofs"}},
            ),
        ),
        (REPLACE, ChangeKind.EXCHANGE, "from.SAB"),
    ),
    "a binding missing": (
        lambda b: b.management.delete(_binding("from.SAB", "q", "journal") + "/%2A.notice"),
        (CREATE, ChangeKind.BINDING, "from.SAB journal *.notice"),
    ),
    "a binding too many": (
        lambda b: b.management.post(_binding("from.SAB", "q", MOF_ROUTINE), {"routing_key": "#"}),
        (DELETE, ChangeKind.BINDING, f"from.SAB {MOF_ROUTINE} #"),
    ),
    "a binding to an exchange too many": (
        lambda b: b.management.post(_binding("from.SAB", "e", "proofs"), {"routing_key": "MOF.order"}),
        (DELETE, ChangeKind.BINDING, "from.SAB proofs MOF.order"),
    ),
    "a binding with arguments beside the right one": (
        lambda b: b.management.post(
            _binding("from.SAB", "q", "journal"), {"routing_key": "*.notice", "arguments": {"x": 1}}
        ),
        (DELETE, ChangeKind.BINDING, "from.SAB journal *.notice"),
    ),
    "a policy changed": (
        lambda b: b.management.put(
            path("policies", V, "notices"),
            {"pattern": "^notices", "definition": {"max-length": 1}, "priority": 0, "apply-to": "queues"},
        ),
        (UPDATE, ChangeKind.POLICY, "notices"),
    ),
    "a policy missing": (
        lambda b: b.management.delete(path("policies", V, "notices")),
        (CREATE, ChangeKind.POLICY, "notices"),
    ),
    "a policy over the others": (
        lambda b: b.management.put(
            path("policies", V, "ttl"),
            {"pattern": ".*", "definition": {"message-ttl": 1_000}, "priority": 99, "apply-to": "queues"},
        ),
        (DELETE, ChangeKind.POLICY, "ttl"),
    ),
    "the account guest": (
        lambda b: b.management.put(path("users", "guest"), password_user("administrator")),
        (DELETE, ChangeKind.USER, "guest"),
    ),
    "an account of an agency that left": (
        lambda b: b.management.put(path("users", "GONE"), password_user()),
        (DELETE, ChangeKind.USER, "GONE"),
    ),
    "a password for an agency": (
        lambda b: b.management.put(path("users", "SAB"), password_user()),
        (UPDATE, ChangeKind.USER, "SAB"),
    ),
    "a tag for an agency": (
        lambda b: b.management.put(path("users", "SAB"), {"password_hash": "", "tags": "monitoring"}),
        (UPDATE, ChangeKind.USER, "SAB"),
    ),
    "a wider permission": (
        lambda b: b.management.put(
            path("permissions", V, "SAB"), {"configure": "^$", "write": r"^from\.SAB$", "read": ".*"}
        ),
        (UPDATE, ChangeKind.PERMISSION, "SAB"),
    ),
    "a permission for a stranger": (
        lambda b: (
            b.management.put(path("users", "stranger"), password_user()),
            b.management.put(path("permissions", V, "stranger"), {"configure": "", "write": "", "read": ".*"}),
        ),
        (DELETE, ChangeKind.PERMISSION, "stranger"),
    ),
    "a permission in another vhost": (
        lambda b: (
            b.management.put(path("vhosts", "other"), {}),
            b.management.put(path("permissions", "other", "SAB"), {"configure": ".*", "write": ".*", "read": ".*"}),
        ),
        (DELETE, ChangeKind.PERMISSION, "SAB other"),
    ),
    "a permission missing": (
        lambda b: b.management.delete(path("permissions", V, "SAB")),
        (CREATE, ChangeKind.PERMISSION, "SAB"),
    ),
    "a topic permission changed": (
        lambda b: b.management.put(
            path("topic-permissions", V, "SAB"), {"exchange": "from.SAB", "write": ".*", "read": ".*"}
        ),
        (UPDATE, ChangeKind.TOPIC_PERMISSION, "SAB from.SAB"),
    ),
    "a topic permission too many": (
        lambda b: b.management.put(
            path("topic-permissions", V, "tarasul-log"), {"exchange": "correspondence", "write": ".*", "read": ".*"}
        ),
        (DELETE, ChangeKind.TOPIC_PERMISSION, "tarasul-log correspondence"),
    ),
    "an operator's policy over all policies": (
        lambda b: b.management.put(
            path("operator-policies", V, "ttl"),
            {"pattern": ".*", "definition": {"message-ttl": 1_000}, "priority": 0, "apply-to": "queues"},
        ),
        (DELETE, ChangeKind.PARAMETER, "operator_policy ttl"),
    ),
    "a limit of the vhost": (
        lambda b: b.management.put(path("vhost-limits", V, "max-connections"), {"value": 0}),
        (DELETE, ChangeKind.PARAMETER, "vhost-limits limits"),
    ),
    "limits raised": (
        lambda b: b.management.put(path("user-limits", "SAB", "max-connections"), {"value": 400}),
        (UPDATE, ChangeKind.LIMIT, "SAB"),
    ),
    "limits taken away": (
        lambda b: b.management.delete(path("user-limits", "SAB", "max-channels")),
        (UPDATE, ChangeKind.LIMIT, "SAB"),
    ),
}


@pytest.fixture(autouse=True)
def nobody_consumes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no consumer can have come in a moment ago, nothing need be waited for."""
    if "sessions" not in request.fixturenames:
        monkeypatch.setattr("broker.topology_apply.STATISTICS_SECONDS", 0.0)


@pytest.fixture
def clean(broker: Broker) -> Iterator[Broker]:
    yield broker
    broker.management.delete(path("users", "stranger"))
    broker.management.delete(path("vhosts", "other"))


def test_a_second_apply_finds_nothing_to_do(broker: Broker) -> None:
    assert check(broker.management, broker.topology) == []
    applied = apply(broker.management, broker.topology)
    assert (applied.done, applied.left, applied.refusals) == ((), (), ())


@pytest.mark.parametrize("name", BY_HAND)
def test_a_change_made_by_hand_is_reported_and_mended(clean: Broker, name: str) -> None:
    change, expected = BY_HAND[name]
    change(clean)
    action, kind, key = expected
    found = check(clean.management, clean.topology)
    assert (str(action), str(kind), key) in brief(found)
    applied = apply(clean.management, clean.topology)
    assert applied.left == ()
    assert (str(action), str(kind), key) in brief(applied.done)
    assert check(clean.management, clean.topology) == []


def test_a_vhost_that_was_deleted_is_made_again(broker: Broker) -> None:
    broker.management.delete(path("vhosts", V))
    found = check(broker.management, broker.topology)
    assert (CREATE, ChangeKind.VHOST, (V,)) in [(c.action, c.kind, c.key) for c in found]
    assert apply(broker.management, broker.topology).left == ()
    assert check(broker.management, broker.topology) == []
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "MOF.routine", b"1 ") == "ack"
    assert broker.keys(MOF_ROUTINE) == [1]


@contextmanager
def without_sab(broker: Broker) -> Iterator[None]:
    """The plan without SAB, for the time of a test."""
    whole = broker.topology
    broker.topology = build_topology([code for code in AGENCIES if code != "SAB"], TRIAL_SIZES)
    try:
        yield
    finally:
        broker.topology = whole


def test_a_queue_that_holds_a_message_stays_and_is_named(broker: Broker) -> None:
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "SAB.routine", b"1 ") == "ack"
    with without_sab(broker):
        applied = apply(broker.management, broker.topology)
        assert [(refused.code, refused.params["queue"]) for refused in applied.refusals] == [
            (ErrorCode.QUEUE_NOT_EMPTY, "inbox.SAB.routine")
        ]
        saw_code(ErrorCode.QUEUE_NOT_EMPTY)
        assert brief(applied.left) == {("delete", "queue", "inbox.SAB.routine")}
        # Once somebody has taken it, the queue goes.
        assert broker.keys("inbox.SAB.routine") == [1]
        assert apply(broker.management, broker.topology).left == ()
    assert apply(broker.management, broker.topology).left == ()


def test_a_queue_of_the_wrong_type_that_holds_a_message_is_not_replaced(broker: Broker) -> None:
    broker.management.delete(path("queues", V, MOF_URGENT))
    broker.management.put(path("queues", V, MOF_URGENT), {"durable": True})
    broker.management.post(_binding("correspondence", "q", MOF_URGENT), {"routing_key": "MOF.urgent"})
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "MOF.urgent", b"7 ") == "ack"
    applied = apply(broker.management, broker.topology)
    assert [refused.params["queue"] for refused in applied.refusals] == [MOF_URGENT]
    assert brief(applied.left) == {("replace", "queue", MOF_URGENT)}
    assert broker.keys(MOF_URGENT) == [7]
    assert apply(broker.management, broker.topology).left == ()
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "MOF.urgent", b"8 ") == "ack"
    assert broker.keys(MOF_URGENT) == [8]


async def test_a_queue_whose_only_message_is_with_a_consumer_stays(broker: Broker, sessions: Sessions) -> None:
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "SAB.routine", b"1 ") == "ack"
    mail = Mail()
    mail.gate.clear()
    session = await sessions.ready("tarasul-topology", {"inbox.SAB.routine": mail})
    await mail.holding()
    with without_sab(broker):
        # Beside the loop: it takes longer than a heartbeat.
        applied = await asyncio.to_thread(apply, broker.management, broker.topology)
    assert [refused.params["queue"] for refused in applied.refusals] == ["inbox.SAB.routine"]
    mail.gate.set()
    await mail.handled(1)
    await session.stop()
    assert broker.keys("inbox.SAB.routine") == []


async def test_an_agency_that_leaves_loses_its_account_and_its_connections(broker: Broker, sessions: Sessions) -> None:
    session = await sessions.ready("SAB", {"inbox.SAB.routine": Mail()})
    with without_sab(broker):
        applied = await asyncio.to_thread(apply, broker.management, broker.topology)
        assert ("delete", "user", "SAB") in brief(applied.done)
        await session.wait_for(SessionState.CONNECTING)
        assert "ACCESS_REFUSED" in (session.last_error or "")
        await session.stop()
        with pytest.raises(ConnectionError):
            broker.raw("SAB")
        # The consumer went with the account, and so the queues could go.
        assert applied.left == ()
    assert apply(broker.management, broker.topology).left == ()
    with broker.raw("SAB") as client:
        assert client.publish("from.SAB", "MOF.routine", b"1 ") == "ack"


async def test_a_consumer_that_a_wider_permission_let_in_is_cut_off(broker: Broker, sessions: Sessions) -> None:
    """The broker looks at permissions when a consumer begins, and lets it go on for ever."""
    wider = {"configure": "^$", "write": r"^from\.SAB$", "read": ".*"}
    broker.management.put(path("permissions", V, "SAB"), wider)
    foreign = Mail()
    session = await sessions.ready("SAB", {MOF_ROUTINE: foreign})
    assert (await asyncio.to_thread(apply, broker.management, broker.topology)).left == ()
    await session.wait_for(SessionState.CONNECTING)
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(1)]) == [Outcome.CONFIRMED]
    await eventually(lambda: "ACCESS_REFUSED" in (session.last_error or ""))
    await session.stop()
    assert foreign.keys == []
    assert broker.keys(MOF_ROUTINE) == [1]


class Dying:
    """The interface, for a process that dies right after it has changed something for the ``passage``-th time."""

    def __init__(self, management: Management, passage: int) -> None:
        self._management = management
        self._left = passage

    def __getattr__(self, name: str) -> Any:
        done = getattr(self._management, name)
        if name not in {"put", "post", "delete"}:
            return done

        def change(*arguments: object, **more: object) -> object:
            answer = done(*arguments, **more)
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
            return answer

        return change


def dies(broker: Broker, passage: int) -> bool:
    """Apply, and die at that passage; False when the work was done before."""
    try:
        apply(cast("Management", Dying(broker.management, passage)), broker.topology)
    except KeyboardInterrupt:
        return True
    return False


def was_closed(client: RawClient) -> bool:
    """Whether the broker takes nothing more from ``client``."""
    try:
        return client.publish("from.SAB", "MOF.routine", b"2 ") == CONNECTION_FORCED
    except (ConnectionError, ssl.SSLError):
        return True


WIDER = ("a wider permission", "a topic permission changed", "a permission in another vhost", "a permission missing")


@pytest.mark.parametrize("name", WIDER)
def test_connections_with_the_old_right_are_closed_whenever_the_first_apply_is_killed(clean: Broker, name: str) -> None:
    change, _ = BY_HAND[name]
    passage, died = 0, True
    while died:
        passage += 1
        with clean.raw("SAB") as old:
            assert old.publish("from.SAB", "MOF.routine", b"1 ") == "ack"
            change(clean)
            died = dies(clean, passage)
            with clean.raw("SAB") as between:
                assert between.send(commands.Basic.Consume(queue=MOF_ROUTINE)) == "403"
            assert apply(clean.management, clean.topology).left == ()
            assert was_closed(old)
        assert check(clean.management, clean.topology) == []
        with clean.raw("SAB") as new:
            assert new.publish("from.SAB", "MOF.routine", b"1 ") == "ack"
    assert passage > 3, "it died at several moments"
    assert set(clean.keys(MOF_ROUTINE)) == {1}


def test_the_account_that_applies_and_accounts_without_rights_here_are_left_alone(clean: Broker) -> None:
    clean.management.put(path("users", "stranger"), password_user("monitoring"))
    assert check(clean.management, clean.topology) == []
    users = {entry["name"] for entry in clean.management.get("/api/users")}
    assert {TOPOLOGY_USER, "stranger"} <= users


def test_the_whole_government_fits_into_one_apply(broker: Broker) -> None:
    government = build_topology([agency.code for agency in connected()], TRIAL_SIZES)
    began = time.monotonic()
    applied = apply(broker.management, government)
    print(f"52 agencies applied in {time.monotonic() - began:.1f} s: {len(applied.done)} changes")  # noqa: T201 - a figure
    assert (applied.left, applied.refusals) == ((), ())
    assert check(broker.management, government) == []
    whole = {entry["name"] for entry in broker.management.get(path("queues", V) + "?columns=name")}
    assert len(whole) == 54 * 5 + 3
    # The fixture would take the queues away one by one.
    broker.management.delete(path("vhosts", V))


def test_a_change_says_what_it_is_for_people_and_programs(broker: Broker) -> None:
    broker.management.put(path("user-limits", "SAB", "max-connections"), {"value": 400})
    [change] = check(broker.management, broker.topology)
    shown = change.as_json()
    assert (shown["action"], shown["kind"], shown["name"]) == ("update", "limit", "SAB")
    assert "400" in str(shown["detail"])
