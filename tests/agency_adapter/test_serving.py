"""The process around an adapter: its token, its address, and its end when a part of it fails."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from agency_adapter import serving
from agency_adapter.service import Adapter
from agency_adapter.serving import api_token, run_adapters, serve_all
from agency_adapter.settings import Settings, read_settings
from agency_adapter.store.opening import open_agency_store
from broker.clock import Clock
from broker.relay import Relay
from broker.sqlite import StoreLock
from pages.server import MOST_CONNECTIONS, QuietServer, listen
from schemas.errors import ErrorCode, Refused
from tests.support.authority import MadeAuthority


def settings_files(folder: Path, *codes: str) -> list[Path]:
    """Everything that the adapters of ``codes`` need but a broker."""
    authority = MadeAuthority(folder, agencies=codes)
    configs = []
    for code in codes:
        home = authority.keys_folder(code).parent
        (home / "root.pem").write_bytes(authority.root_file.read_bytes())
        authority.write_directory(home / "directory.jws")
        configs.append(home / "adapter.toml")
        configs[-1].write_text(f'agency = "{code}"\n[api]\nport = 0\n[broker]\nnodes = ["127.0.0.1:1"]\n', "utf-8")
    return configs


class Begun:
    """Counts how often the adapter of each agency has begun; somebody may wait for a count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[Adapter, int], None] | None = None) -> None:
        self.times: Counter[str] = Counter()
        self._changed = asyncio.Event()
        start = Adapter.start

        async def started(adapter: Adapter) -> None:
            await start(adapter)
            self.times[adapter.settings.agency] += 1
            if then is not None:
                then(adapter, self.times[adapter.settings.agency])
            self._changed.set()

        monkeypatch.setattr(Adapter, "start", started)

    async def until(self, **times: int) -> None:
        async with asyncio.timeout(30):
            while self.times != times:
                self._changed.clear()
                await self._changed.wait()


def test_the_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = api_token(file)
    assert len(token) >= 32
    assert api_token(file) == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_an_address_in_use_is_named_in_the_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused) as refused:
            listen("127.0.0.1", port)
    assert refused.value.code is ErrorCode.API_ADDRESS_UNUSABLE
    assert f"127.0.0.1:{port}" in refused.value.text("ar")


async def test_whoever_holds_connections_open_keeps_nobody_out_and_takes_no_more_files() -> None:
    answer = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    listener = listen("127.0.0.1", 0)
    server = QuietServer(app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    place = listener.getsockname()
    async with asyncio.timeout(30):
        busy_reader, busy = await asyncio.open_connection(*place)
        ask(busy, "/slow")
        held = [await asyncio.open_connection(*place) for _ in range(MOST_CONNECTIONS + 20)]
        reader, writer = await asyncio.open_connection(*place)
        ask(writer, "/")
        assert (await reader.readline()).startswith(b"HTTP/1.1 204")
        for gone, _ in held[:22]:  # with the busy one and the last, so many more than may be
            assert await gone.read() == b""
        assert len(server.server_state.connections) == MOST_CONNECTIONS
        answer.set()
        assert (await busy_reader.readline()).startswith(b"HTTP/1.1 204")
        for _, each in (*held, (reader, writer), (busy_reader, busy)):
            each.close()
        server.should_exit = True
        await serving


def test_an_adapter_whose_relay_fails_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [config] = settings_files(tmp_path, "MOF")
    settings = read_settings(config)

    async def broken(_relay: Relay) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Relay, "_run", broken)
    assert asyncio.run(serve_all([settings], Clock(0))) == 1


def test_one_of_several_that_fails_is_begun_again_and_the_others_do_not_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SHORTEST_WAIT_SECONDS", 0.01)
    both = [read_settings(config) for config in settings_files(tmp_path, "MOF", "MPW")]

    def fail_twice(adapter: Adapter, times: int) -> None:
        if adapter.settings.agency == "MOF" and times < 3:
            adapter.writer._life.fail(sqlite3.DatabaseError("database disk image is malformed"))

    begun = Begun(monkeypatch, fail_twice)

    async def story() -> int:
        everything = asyncio.ensure_future(serve_all(both, Clock(0)))
        await begun.until(MOF=3, MPW=1)
        os.kill(os.getpid(), signal.SIGTERM)
        return await everything

    assert asyncio.run(story()) == 0


def test_one_of_several_that_cannot_begin_is_tried_again_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "SHORTEST_WAIT_SECONDS", 0.01)
    mof, mpw = (read_settings(config) for config in settings_files(tmp_path, "MOF", "MPW"))
    key = mof.path(mof.keys.directory) / "seal.key"
    hidden = key.with_suffix(".away")
    key.rename(hidden)
    assert _begins_once(monkeypatch, [mof, mpw], lambda: hidden.rename(key)) == 0
    assert "key_unreadable" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("token", "code"), [(b"too short", "api_token_unusable"), ("رمز".encode(), "file_unreadable")], ids=["short", "odd"]
)
def test_one_of_several_whose_token_is_no_good_begins_once_it_is_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], token: bytes, code: str
) -> None:
    monkeypatch.setattr(serving, "SHORTEST_WAIT_SECONDS", 0.01)
    mof, mpw = (read_settings(config) for config in settings_files(tmp_path, "MOF", "MPW"))
    file = mof.path(mof.api.token_file)
    file.write_bytes(token)
    assert _begins_once(monkeypatch, [mof, mpw], file.unlink) == 0
    assert code in capfd.readouterr().out


def test_one_of_several_whose_store_refuses_the_first_write_begins_once_it_does_not_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "SHORTEST_WAIT_SECONDS", 0.01)
    mof, mpw = (read_settings(config) for config in settings_files(tmp_path, "MOF", "MPW"))
    store = mof.path(mof.store)
    open_agency_store(store, "MOF").close()
    with contextlib.closing(sqlite3.connect(store)) as made:
        made.execute("CREATE TRIGGER refuse BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")

    def allow() -> None:
        with contextlib.closing(sqlite3.connect(store)) as found:
            found.execute("DROP TRIGGER refuse")

    assert _begins_once(monkeypatch, [mof, mpw], allow) == 0
    assert "store_locked" not in capfd.readouterr().out


def _begins_once(monkeypatch: pytest.MonkeyPatch, both: list[Settings], mended: Callable[[], None]) -> int:
    """MPW runs while MOF cannot begin; MOF begins once it is ``mended``; the exit code of the whole."""
    begun = Begun(monkeypatch)

    async def story() -> int:
        everything = asyncio.ensure_future(serve_all(both, Clock(0)))
        await begun.until(MPW=1)
        mended()
        await begun.until(MPW=1, MOF=1)
        os.kill(os.getpid(), signal.SIGTERM)
        return await everything

    return asyncio.run(story())


def test_one_of_several_whose_store_is_destroyed_leaves_the_others_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SHORTEST_WAIT_SECONDS", 0.01)
    mof, mpw = (read_settings(config) for config in settings_files(tmp_path, "MOF", "MPW"))
    store = mof.path(mof.store)
    begun = Begun(monkeypatch)

    async def story() -> int:
        everything = asyncio.ensure_future(serve_all([mof, mpw], Clock(0)))
        await begun.until(MOF=1, MPW=1)
        _destroy(store)
        while not _is_free(store):
            await asyncio.wait((everything,), timeout=0.05)
            assert not everything.done(), everything.exception()
        store.unlink()
        store.with_suffix(".mark").unlink()
        await begun.until(MOF=2, MPW=1)
        os.kill(os.getpid(), signal.SIGTERM)
        return await everything

    assert asyncio.run(story()) == 0


def _destroy(store: Path) -> None:
    """Write over all of the store but its first page, and let whoever has it open notice."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with store.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        with contextlib.suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA user_version = 1")


def _is_free(store: Path) -> bool:
    try:
        StoreLock(store).release()
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("change", "named"),
    [({"agency": "MOF"}, "agency MOF"), ({"store": "../MOF/store.db"}, "store"), ({"port": 8155}, "api.port 8155")],
)
def test_two_adapters_that_share_something_are_refused(tmp_path: Path, change: dict[str, object], named: str) -> None:
    for code, own in (("MOF", {"port": 8155}), ("MPW", {"port": 8156} | change)):
        (tmp_path / code).mkdir()
        values = {"agency": code, "store": "store.db"} | own
        (tmp_path / code / "adapter.toml").write_text(
            f'agency = "{values["agency"]}"\nstore = "{values["store"]}"\n'
            f'[api]\nport = {values["port"]}\n[broker]\nnodes = ["127.0.0.1:1"]\n',
            "utf-8",
        )
    with pytest.raises(Refused) as refused:
        run_adapters([tmp_path / code / "adapter.toml" for code in ("MOF", "MPW")])
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert named in refused.value.text("en")
