"""What must hold of every topology, whoever the agencies are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import names
from broker.topology import (
    AUDIT_USER,
    CODE,
    DELIVERY_LIMIT,
    GIB,
    LOG_USER,
    NOTHING,
    PRODUCTION_SIZES,
    TRIAL_SIZES,
    Cluster,
    Permission,
    Policy,
    QueueType,
    Sizes,
    Topology,
    build_topology,
    check_sizes,
    one_of,
)
from schemas.agencies import connected
from schemas.envelope import Lane
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY, ECHO

codes = st.lists(st.from_regex(r"\A[A-Z]{2,8}\Z"), max_size=6, unique=True)
topologies = codes.map(lambda some: build_topology(some, TRIAL_SIZES))
GOVERNMENT = [agency.code for agency in connected()]


def policies_of(topology: Topology, name: str, kind: str = "queues") -> list[Policy]:
    return [p for p in topology.policies.values() if p.apply_to == kind and re.search(p.pattern, name)]


def may(permission: Permission, act: str, name: str) -> bool:
    """As the broker judges: an unanchored search in the name."""
    return re.search(getattr(permission, act), name) is not None


@given(topologies)
def test_every_queue_has_exactly_one_policy_with_every_limit(topology: Topology) -> None:
    for queue in topology.queues.values():
        [policy] = policies_of(topology, queue.name)
        assert policy.definition["max-length-bytes"]
        if queue.type is QueueType.STREAM:
            continue
        assert policy.definition["overflow"] == "reject-publish"
        assert policy.definition["dead-letter-strategy"] == "at-least-once"
        assert policy.definition["delivery-limit"] == DELIVERY_LIMIT == 1000
        target = str(policy.definition["dead-letter-exchange"])
        # What dies arrives somewhere: at a queue, and not at the one in which it died.
        [arrival] = [b.destination for b in topology.bindings if b.source == target]
        assert arrival in topology.queues
        assert arrival != queue.name


@given(topologies)
def test_every_exchange_of_an_agency_has_an_alternate_that_keeps_the_unroutable(topology: Topology) -> None:
    for name in topology.exchanges:
        found = policies_of(topology, name, "exchanges")
        if name in {names.DEAD_LETTER, names.DEAD_LETTER_EXPIRED}:
            assert found == []
        else:
            assert [policy.definition for policy in found] == [{"alternate-exchange": names.DEAD_LETTER}]


@given(topologies)
def test_only_the_journal_is_a_stream(topology: Topology) -> None:
    streams = [queue.name for queue in topology.queues.values() if queue.type is QueueType.STREAM]
    assert streams == [names.JOURNAL]


@given(topologies)
def test_every_binding_joins_what_exists(topology: Topology) -> None:
    for binding in topology.bindings:
        assert binding.source in topology.exchanges
        assert binding.destination in (topology.exchanges if binding.to_exchange else topology.queues)


@given(topologies)
def test_nobody_declares_and_an_agency_reaches_its_own_things_only(topology: Topology) -> None:
    everything = {*topology.exchanges, *topology.queues, "", "amq.topic", "amq.default"}
    assert set(topology.permissions) == set(topology.users) == set(topology.limits)
    for user, permission in topology.permissions.items():
        assert permission.configure == NOTHING
        assert not any(may(permission, "configure", name) for name in everything - {""})
        if user in {AUDIT_USER, LOG_USER}:
            continue
        assert {name for name in everything if may(permission, "write", name)} == {f"from.{user}"}
        assert {name for name in everything if may(permission, "read", name)} == {
            f"inbox.{user}.urgent",
            f"inbox.{user}.routine",
            f"notices.{user}",
            f"orders.{user}",
        }


@pytest.mark.parametrize(
    ("act", "name"),
    [
        ("read", "inboxXMPW.urgent"),
        ("read", "inbox.MPWXurgent"),
        ("read", "inbox.MPW.urgent.more"),
        ("read", "some.inbox.MPW.urgent"),
        ("read", "inbox.MPW.urgent\nx"),
        ("read", "dead-letter.MPW"),
        ("read", "journal"),
        ("write", "fromXMPW"),
        ("write", "from.MPWX"),
        ("write", "xfrom.MPW"),
        ("write", "correspondence"),
        ("write", "from.TRSL"),
        ("write", "proofs"),
    ],
)
def test_a_name_that_only_looks_like_ones_own_is_foreign(act: str, name: str) -> None:
    permission = build_topology(["MPW"], TRIAL_SIZES).permissions["MPW"]
    assert not may(permission, act, name)


def test_the_authoritys_programs_read_each_what_it_is_for() -> None:
    permissions = build_topology(["MPW", "MOF"], TRIAL_SIZES).permissions
    audit, log = permissions[AUDIT_USER], permissions[LOG_USER]
    for name in ("dead-letter", "dead-letter.expired", "dead-letter.MPW", "dead-letter.TRSL"):
        assert may(audit, "read", name)
        assert not may(log, "read", name)
    assert may(log, "read", "journal")
    for name in ("inbox.MPW.urgent", "notices.MOF", "orders.MOF", "dead-letterXMPW"):
        assert not may(audit, "read", name)
        assert not may(log, "read", name)
    assert not may(audit, "write", "proofs")
    assert may(log, "write", "proofs")


@pytest.mark.parametrize(
    ("user", "key", "allowed"),
    [
        ("MPW", "MOF.urgent", True),
        ("MPW", "MOF.routine", True),
        ("MPW", "MOF.notice", True),
        ("MPW", "dead-letter", True),
        ("MPW", "MOF.order", False),
        ("MPW", "read-mark", False),
        ("MPW", "tick", False),
        ("MPW", "MOFXroutine", False),
        ("MPW", "MOF.routine.more", False),
        ("MPW", "mof.routine", False),
        (AUTHORITY, "MOF.order", True),
        (AUTHORITY, "tick", False),
        (AUTHORITY, "read-mark", False),
        (AUDIT_USER, "read-mark", True),
        (AUDIT_USER, "read-mark.more", False),
        (AUDIT_USER, "tick", False),
    ],
)
def test_the_second_fence_lets_through_the_agencys_own_kinds_of_key(user: str, key: str, allowed: bool) -> None:
    topology = build_topology(["MPW", "MOF"], TRIAL_SIZES)
    fence = topology.topic_permissions[user, f"from.{AUTHORITY if user == AUDIT_USER else user}"]
    assert (re.search(fence.write, key) is not None) == allowed
    assert re.search(fence.read, key) is None


def test_what_an_agency_publishes_is_journalled_whole_and_the_authoritys_too() -> None:
    topology = build_topology(["MPW"], TRIAL_SIZES)
    journalled = {(b.source, b.routing_key) for b in topology.bindings if b.destination == names.JOURNAL}
    for code in ("MPW", ECHO):
        own = {key for source, key in journalled if source == f"from.{code}"}
        assert own == {"*.urgent", "*.routine", "*.notice", "dead-letter.#"}
    assert {key for source, key in journalled if source == f"from.{AUTHORITY}"} == {"#"}
    assert not any(source == names.PROOFS for source, _ in journalled)


def test_orders_come_from_the_authority_alone() -> None:
    topology = build_topology(["MPW", "MOF"], TRIAL_SIZES)
    sources = {b.source for b in topology.bindings if b.destination == "orders.MOF"}
    assert sources == {f"from.{AUTHORITY}", names.PROOFS}


def test_the_authority_and_the_echo_agency_are_always_there_and_order_means_nothing() -> None:
    assert build_topology(["MOF", "MPW", "MPW"], TRIAL_SIZES) == build_topology(
        ["MPW", "MOF", AUTHORITY, ECHO], TRIAL_SIZES
    )
    assert {AUTHORITY, ECHO, AUDIT_USER, LOG_USER} == set(build_topology([], TRIAL_SIZES).users)


@pytest.mark.parametrize("code", ["", "M", "mpw", "MPW.", "MPW1", "TOOLONGXX", "MPW\n", "م", ".*", "A|B"])
def test_what_is_no_agency_code_makes_no_topology(code: str) -> None:
    with pytest.raises(Refused) as refused:
        build_topology(["MOF", code], TRIAL_SIZES)
    assert refused.value.code is ErrorCode.AGENCY_UNKNOWN


def test_every_queue_starts_with_as_many_replicas_as_the_cluster_has() -> None:
    three = build_topology(["MPW"], TRIAL_SIZES, Cluster(("a@x", "b@x", "c@x"), 3))
    assert {queue.replicas for queue in three.queues.values()} == {3}
    assert {queue.replicas for queue in build_topology(["MPW"], TRIAL_SIZES).queues.values()} == {1}


@pytest.mark.parametrize("sizes", [TRIAL_SIZES, PRODUCTION_SIZES], ids=["trial", "production"])
def test_sixty_percent_of_the_disk_is_enough_to_the_byte(sizes: Sizes) -> None:
    needed = sizes.needed(54)
    disk = -(-needed * 10 // 6)
    check_sizes(54, sizes, disk)
    with pytest.raises(Refused) as refused:
        check_sizes(54, sizes, disk - 2)
    assert refused.value.code is ErrorCode.DISK_TOO_SMALL
    assert refused.value.params["needed"] == needed


def test_the_whole_government_fits_the_machines_it_is_meant_for() -> None:
    """52 agencies, the authority and the echo: production on 500 GB, a trial on 20 GB."""
    assert len(GOVERNMENT) == 52
    check_sizes(54, PRODUCTION_SIZES, 500 * GIB)
    check_sizes(54, TRIAL_SIZES, 20 * GIB)


def test_the_sum_counts_every_queue_of_the_topology() -> None:
    topology = build_topology(GOVERNMENT, PRODUCTION_SIZES)
    limits = sum(int(policies_of(topology, name)[0].definition["max-length-bytes"]) for name in topology.queues)
    sizes = PRODUCTION_SIZES
    assert sizes.needed(54) == limits + sizes.journal_segment + 4 * sizes.wal


def test_names_are_spelt_in_one_way() -> None:
    assert names.from_exchange("MPW") == "from.MPW"
    assert [names.inbox_queue("MPW", lane) for lane in Lane] == [f"inbox.MPW.{lane}" for lane in ("routine", "urgent")]
    assert names.notices_queue("MPW") == "notices.MPW"
    assert names.orders_queue("MPW") == "orders.MPW"
    assert names.dead_letter_queue("MPW") == "dead-letter.MPW"
    assert names.letter_routing_key("MPW", Lane.URGENT) == "MPW.urgent"
    assert names.notice_routing_key("MPW") == "MPW.notice"
    assert names.order_routing_key("MPW") == "MPW.order"


@given(st.lists(st.from_regex(r"\A[a-z.-]{1,12}\Z"), max_size=4, unique=True), st.text(max_size=14))
def test_an_expression_matches_its_names_and_nothing_else(allowed: list[str], other: str) -> None:
    expression = one_of(allowed)
    assert all(re.search(expression, name) for name in allowed)
    if other and other.rstrip("\n") not in allowed:
        assert re.search(expression, other) is None


def test_one_of_also_takes_the_pattern_of_a_code() -> None:
    assert re.search(one_of([f"dead-letter.{CODE}"]), "dead-letter.MPW")
