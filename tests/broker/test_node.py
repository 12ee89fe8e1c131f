"""The private node: it runs, on loopback alone, and leaves nothing when its owner ends in whatever way."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.management import Credentials, Management
from broker.node import PrivateNode
from broker.node_installation import Installation, find_installation
from broker.node_probe import answers_amqp, answers_management, probe_context
from schemas.errors import ErrorCode, Refused
from tests.support.processes import Process, below, listened_by, listeners, running

OWNER = """
import json, signal, sys
from broker.node import PrivateNode
with PrivateNode() as node:
    print(json.dumps({"directory": str(node.directory), "name": node.name, "version": node.version}), flush=True)
    signal.pause()
"""
GONE_WITHIN_SECONDS = 20.0


@dataclass
class Owned:
    """A node started by a process of its own, and what it had while it ran."""

    owner: "subprocess.Popen[str]"
    temporary: Path
    directory: Path
    name: str
    version: str
    processes: set[Process]
    addresses: set[tuple[str, int]]


ENDS = ("SIGINT", "SIGKILL", "keeper killed")


@pytest.fixture(scope="module")
def owned_nodes(rabbitmq: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Owned]]:
    """A node for each way to end; they start at the same time, since that is most of what these tests cost."""
    owners: dict[str, tuple[subprocess.Popen[str], Path]] = {}
    try:
        for end in ENDS:
            temporary = tmp_path_factory.mktemp("owner")
            owner = subprocess.Popen(
                [sys.executable, "-c", OWNER],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(Path.cwd())},
                start_new_session=True,
            )
            owners[end] = owner, temporary
        nodes = {end: _described(owner, temporary) for end, (owner, temporary) in owners.items()}
        assert {node.version for node in nodes.values()} == {rabbitmq.version}
        yield nodes
    finally:
        for owner, _ in owners.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(owner.pid, signal.SIGKILL)
            with owner:
                owner.wait(30)


def _described(owner: "subprocess.Popen[str]", temporary: Path) -> Owned:
    assert owner.stdout is not None
    said = json.loads(owner.stdout.readline())
    processes = below(owner.pid)
    return Owned(
        owner, temporary, Path(said["directory"]), said["name"], said["version"], processes, listened_by(processes)
    )


def _left_over(node: Owned) -> list[str]:
    left = [f"process {p.command[:80]}" for p in node.processes if p in running()]
    left += [f"listener {address}" for address in node.addresses if address in listeners().values()]
    left += [f"process of the node: {p.command[:80]}" for p in running() if node.directory.name in p.command]
    return left + [f"folder {node.directory}"] * node.directory.exists()


def _assert_nothing_left(node: Owned) -> None:
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    while (left := _left_over(node)) and time.monotonic() < deadline:
        # The keeper is no child of ours: there is nothing to wait on but its effect.
        time.sleep(0.05)
    assert left == []
    assert list(node.temporary.iterdir()) == []


@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_nothing_stays_when_the_owner_is_interrupted_or_killed(owned_nodes: dict[str, Owned], end: str) -> None:
    node = owned_nodes[end]
    commands = " ".join(process.command for process in node.processes)
    assert "beam.smp" in commands
    assert "epmd" in commands
    assert len(node.addresses) >= 5  # AMQPS, management, Prometheus, distribution, epmd

    # The whole foreground group, as a terminal does it.
    os.killpg(node.owner.pid, signal.Signals[end])
    node.owner.wait(30)

    _assert_nothing_left(node)


def test_nothing_runs_on_when_the_keeper_itself_is_killed(owned_nodes: dict[str, Owned]) -> None:
    node = owned_nodes["keeper killed"]
    [keeper] = [p for p in node.processes if "node_keeper" in p.command]
    os.kill(keeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    while any(p in running() for p in node.processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [p for p in node.processes if p in running()] == []


@pytest.mark.usefixtures("rabbitmq")
def test_two_nodes_run_side_by_side_and_listen_on_loopback_alone() -> None:
    with PrivateNode() as one, PrivateNode() as other:
        addresses = listened_by(below(os.getpid()))
        hosts = {host for host, _ in addresses}
        assert hosts <= {"127.0.0.1", "::1"}
        ports = {port for _, port in addresses}
        for node in (one, other):
            identity = node.identity
            own = {
                identity.amqps,
                identity.management,
                identity.prometheus,
                identity.distribution,
                identity.epmd,
            }
            assert len(own) == 5
            assert own <= ports
            assert node.name in node.ctl("cluster_status")
        assert one.name not in other.ctl("cluster_status")

        # A certificate of one is nothing to the other.
        context = probe_context(other.tls.broker.authority, one.client("MPW").certificate, one.client("MPW").key)
        assert not answers_amqp("127.0.0.1", other.amqps_port, context, "localhost")
        other.close()
        assert one.running
        assert not other.directory.exists()


def vhosts(node: PrivateNode) -> set[str]:
    with Management(node.management_url, Credentials.read(node.credentials)) as management:
        return {entry["name"] for entry in management.get("/api/vhosts")}


@pytest.mark.usefixtures("rabbitmq")
def test_a_node_in_a_folder_keeps_its_data_ports_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    with PrivateNode(directory=folder) as node:
        before = node.identity
        node.ctl("add_vhost", "kept")
        password = Credentials.read(node.credentials).password
        node.kill()
        assert not node.running
        node.start()
        assert "kept" in vhosts(node)
        # The machine's own broker may have more configuration than its one file; none of it is this node's.
        others = node.ctl("eval", "maps:get(additional_config_files, rabbit_prelaunch:get_context()).")
        assert others.strip().startswith(f'"{folder}/')

        with pytest.raises(Refused) as refused:
            PrivateNode(directory=folder).start()
        assert refused.value.code is ErrorCode.NODE_NOT_STARTED

        with pytest.raises(RuntimeError):
            node.wipe()
        node.stop()
        node.wipe()

    assert folder.exists()
    with PrivateNode(directory=folder) as node:
        assert node.identity == before
        assert "kept" not in vhosts(node)
        assert Credentials.read(node.credentials).password == password
        everything = running()
        assert not any(password in process.command for process in everything)
        assert password not in node.log.read_text("utf-8", "replace")
        for secret in (node.credentials, folder / "definitions.json", node.tls.broker.key):
            assert secret.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("rabbitmq")
def test_a_node_is_ready_only_when_its_management_interface_answers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bool] = []

    def at_the_third_time(url: str, credentials: Path) -> bool:
        answers.append(len(answers) >= 2 and answers_management(url, credentials))
        return answers[-1]

    monkeypatch.setattr("broker.node.answers_management", at_the_third_time)
    with PrivateNode() as node:
        assert answers[:2] == [False, False]
        assert answers[-1]
        node.kill()
        assert not answers_management(node.management_url, node.credentials)


def test_a_management_interface_that_fails_or_refuses_does_not_answer(tmp_path: Path) -> None:
    statuses = [500, 401, 200]

    class Interface(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0))
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing: the interface is silent."""

    credentials = tmp_path / "management.json"
    credentials.write_text(json.dumps({"user": "somebody", "password": "secret"}))
    with http.server.HTTPServer(("127.0.0.1", 0), Interface) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert [answers_management(url, credentials) for _ in range(3)] == [False, False, True]
        server.shutdown()


@pytest.mark.usefixtures("rabbitmq")
def test_a_port_that_is_taken_is_named_in_the_refusal() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node = PrivateNode(amqps_port=taken.getsockname()[1])
        with pytest.raises(Refused) as refused:
            node.start()
    assert refused.value.code is ErrorCode.NODE_NOT_STARTED
    assert not node.directory.exists()


def test_without_rabbitmq_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RABBITMQ_HOME", raising=False)
    with pytest.raises(Refused) as refused:
        find_installation(places=[str(tmp_path)])
    assert refused.value.code is ErrorCode.RABBITMQ_NOT_FOUND
    assert "rabbitmq-server" in refused.value.next_step("en")
