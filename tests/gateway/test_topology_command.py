"""`tarasul authority topology …` on a real broker: what the directory asks for, and how far the broker is from it."""

import json
import shutil
from pathlib import Path

import pytest

from broker.management import Credentials, Management, path
from broker.names import VHOST
from broker.topology import TRIAL_SIZES
from gateway.command import _disk
from gateway.settings import read_authority_settings
from schemas.errors import ErrorCode, Refused
from tests.gateway.founding import CODES
from tests.gateway.topology_bed import Terminal, TopologyBed

PARTICIPANTS = len(CODES) + 2
"""With the authority and the echo agency."""


@pytest.fixture
def bed(topology_bed: TopologyBed, terminal: Terminal) -> TopologyBed:
    """A broker that is as the directory wants it."""
    assert terminal("authority", "topology", "apply", "--config", topology_bed.config).code == 0
    return topology_bed


def _named(changes: list[dict[str, str]]) -> set[tuple[str, str, str]]:
    return {(change["action"], change["kind"], change["name"]) for change in changes}


def test_a_fresh_broker_is_planned_made_and_then_agrees(topology_bed: TopologyBed, terminal: Terminal) -> None:
    topology_bed.node.stop()
    topology_bed.node.wipe()
    topology_bed.node.start()
    config = ("--config", topology_bed.config)

    checked = terminal("authority", "topology", "check", "--json", *config)
    assert (checked.code, checked.document["agrees"]) == (1, False)
    planned = terminal("authority", "topology", "plan", "--json", *config)
    assert (planned.code, planned.err) == (0, "")
    assert planned.document["changes"] == checked.document["changes"]
    assert {("create", "queue", f"inbox.{code}.urgent") for code in CODES} < _named(planned.document["changes"])
    assert planned.document["needed_bytes"] == TRIAL_SIZES.needed(PARTICIPANTS)
    assert planned.document["disk_bytes"] == 10**12

    first = terminal("authority", "topology", "apply", "--json", *config)
    assert (first.code, first.err) == (0, "")
    assert _named(first.document["done"]) == _named(planned.document["changes"])
    assert (first.document["left"], first.document["refusals"]) == ([], [])
    second = terminal("authority", "topology", "apply", "--json", *config)
    assert (second.code, second.document) == (0, {"done": [], "left": [], "refusals": []})

    checked = terminal("authority", "topology", "check", "--json", *config)
    assert (checked.code, checked.err, checked.document) == (0, "", {"agrees": True, "changes": []})
    shown = terminal("authority", "topology", "check", *config)
    assert (shown.code, shown.err, shown.out.splitlines()) == (0, "", ["لا فرق.", "Nothing to do."])


def test_drift_is_listed_exits_1_and_is_mended_by_apply(bed: TopologyBed, terminal: Terminal) -> None:
    with bed.management() as management:
        management.delete(path("queues", VHOST, "notices.MOF"))
        management.put(path("exchanges", VHOST, "stray"), {"type": "topic", "durable": True})
        management.put(
            path("permissions", VHOST, "SAB"), {"configure": ".*", "write": "^from[.]SAB$", "read": "^notices[.]SAB$"}
        )
    config = ("--config", bed.config)
    checked = terminal("authority", "topology", "check", "--json", *config)
    assert checked.code == 1
    assert checked.document["agrees"] is False
    assert _named(checked.document["changes"]) == {
        ("create", "queue", "notices.MOF"),
        ("create", "binding", "correspondence notices.MOF MOF.notice"),
        ("delete", "exchange", "stray"),
        ("update", "permission", "SAB"),
    }
    refused = json.loads(checked.err)
    assert refused["code"] == "topology_drift"
    assert refused["detail_ar"].startswith("تكوين الوسيط لا يطابق دليل الجهات: 4")
    assert refused["detail"].startswith("The broker's topology does not agree with the directory: 4")

    shown = terminal("authority", "topology", "check", *config)
    assert shown.code == 1
    assert "create   queue             notices.MOF" in shown.out.splitlines()
    applied = terminal("authority", "topology", "apply", *config)
    assert (applied.code, applied.err) == (0, "")
    assert "delete   exchange          stray" in "\n".join(applied.out.splitlines())
    assert terminal("authority", "topology", "check", *config).code == 0


def test_a_queue_that_holds_messages_is_left_and_named(bed: TopologyBed, terminal: Terminal) -> None:
    config = ("--config", bed.config)
    with bed.management() as management:
        queue = path("queues", VHOST, "stray")
        management.put(queue, {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        message = {"properties": {}, "routing_key": "stray", "payload": "kept", "payload_encoding": "string"}
        management.post(path("exchanges", VHOST, "amq.default", "publish"), message)
        try:
            applied = terminal("authority", "topology", "apply", "--json", *config)
            assert applied.code == 1
            assert [refusal["code"] for refusal in applied.document["refusals"]] == ["queue_not_empty"]
            assert ("delete", "queue", "stray") in _named(applied.document["left"])
            assert json.loads(applied.err)["code"] == "topology_drift"
            told = terminal("authority", "topology", "apply", *config)
            assert told.code == 1
            assert told.err.count("[queue_not_empty]") == 2
            assert told.err.count("[topology_drift]") == 2
            assert management.get(queue) is not None
        finally:
            management.delete(f"{queue}/contents")
            management.delete(queue)


def test_limits_that_do_not_fit_the_disk_are_refused_with_both_figures(bed: TopologyBed, terminal: Terminal) -> None:
    config = bed.changed("disk_bytes = 1000000000000", "disk_bytes = 1000000")
    for command in ("plan", "apply"):
        ran = terminal("authority", "topology", command, "--config", config)
        assert ran.code == 1, command
        assert ran.err.count("[disk_too_small]") == 2
        assert str(TRIAL_SIZES.needed(PARTICIPANTS)) in ran.err
        assert "600000" in ran.err


def test_nothing_is_made_on_a_disk_that_is_too_small(bed: TopologyBed, terminal: Terminal) -> None:
    with bed.management() as management:
        management.delete(path("queues", VHOST, "orders.MOF"))
        config = bed.changed("disk_bytes = 1000000000000", "disk_bytes = 1000000")
        assert terminal("authority", "topology", "apply", "--config", config).code == 1
        assert management.get(path("queues", VHOST, "orders.MOF")) is None


def test_the_disk_of_a_broker_on_this_machine_is_found_out(bed: TopologyBed, terminal: Terminal) -> None:
    ran = terminal("authority", "topology", "plan", "--json", "--config", bed.changed("disk_bytes = 1000000000000", ""))
    assert ran.document["disk_bytes"] == shutil.disk_usage(bed.node.data).total


def test_the_disk_of_a_broker_elsewhere_must_be_given(founded: Path) -> None:
    settings = read_authority_settings(founded / "authority" / "authority.toml")
    assert settings.broker.disk_bytes is None
    with Management("https://broker.example", Credentials("a", "b")) as management, pytest.raises(Refused) as refused:
        _disk(settings, management)
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert "broker.disk_bytes" in refused.value.text("en")


@pytest.mark.parametrize("command", ["plan", "apply", "check"])
def test_a_broker_that_is_not_there_is_exit_3(command: str, bed: TopologyBed, terminal: Terminal) -> None:
    config = bed.changed(f":{bed.node.management_port}", ":1")
    ran = terminal("authority", "topology", command, "--config", config)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("[broker_unreachable]") == 2


def test_an_account_that_the_broker_does_not_know_is_exit_3(
    bed: TopologyBed, terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "wrong.json").write_text('{"user": "nobody", "password": "wrong"}', "utf-8")
    config = bed.changed('credentials = "../broker-node/management.json"', f'credentials = "{tmp_path}/wrong.json"')
    ran = terminal("authority", "topology", "check", "--config", config)
    assert ran.code == 3
    assert ran.err.count("[broker_refused]") == 2
    assert "wrong" not in ran.err.replace("wrong.json", "")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[watch]", "brokr = 1\n[watch]", "brokr"),
        ("replicas = 1", "replica = 1", "broker.replica"),
        ("replicas = 1", "replicas = 0", "broker.replicas"),
        ('sizes = "trial"', 'sizes = "small"', "broker.sizes"),
        ("disk_bytes = 1000000000000", "disk_bytes = -1", "broker.disk_bytes"),
        ("http://127.0.0.1:", "http://127.0.0.1:9", "broker.management"),
        ("http://127.0.0.1:", "http://127.0.0.1:x", "broker.management"),
        ("http://127.0.0.1:", "http://broker.example:", "HTTPS is needed"),
        ("http://127.0.0.1:", "ftp://127.0.0.1:", "HTTPS is needed"),
        ("[broker]", "[broker", "line 5"),
        ("[watch]", "base = 1\n[watch]", "base"),
        ("../broker-node/management.json", "none.json", "none.json"),
        ("[watch]", 'root = "none.pem"\n[watch]', "none.pem"),
    ],
)
def test_settings_that_are_wrong_are_named(
    old: str, new: str, named: str, topology_bed: TopologyBed, terminal: Terminal
) -> None:
    ran = terminal("authority", "topology", "check", "--config", topology_bed.changed(old, new))
    assert (ran.code, ran.out) == (1, "")
    assert named in ran.err


def test_without_the_authoritys_certificate_no_https_is_spoken(topology_bed: TopologyBed, terminal: Terminal) -> None:
    config = topology_bed.changed("http://", "https://")
    config.write_text(config.read_text("utf-8") + 'ca_file = "none.pem"\n', "utf-8")
    ran = terminal("authority", "topology", "check", "--config", config)
    assert (ran.code, ran.out) == (1, "")
    assert "none.pem" in ran.err
    assert ran.err.count("[settings_invalid]") == 2


def test_without_a_directory_nothing_is_compared(topology_bed: TopologyBed, terminal: Terminal) -> None:
    config = topology_bed.changed("[watch]", 'directory_file = "none.jws"\n[watch]')
    ran = terminal("authority", "topology", "check", "--config", config)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("[directory_unreadable]") == 2
