"""The process around an adapter: its token, its address, and its end when a part of it fails."""

import asyncio
import socket
import sqlite3
from pathlib import Path

import pytest

from agency_adapter.serving import api_token, listen, serve
from agency_adapter.settings import ApiSettings, read_settings
from broker.clock import Clock
from broker.relay import Relay
from schemas.errors import ErrorCode, Refused
from tests.support.authority import MadeAuthority


def settings_file(folder: Path, port: int = 0) -> Path:
    """Everything that MOF's adapter needs but a broker."""
    authority = MadeAuthority(folder, agencies=["MOF", "MPW"])
    home = authority.keys_folder("MOF").parent
    (home / "root.pem").write_bytes(authority.root_file.read_bytes())
    authority.write_directory(home / "directory.jws")
    config = home / "adapter.toml"
    config.write_text(f'agency = "MOF"\n[api]\nport = {port}\n[broker]\nnodes = ["127.0.0.1:1"]\n', "utf-8")
    return config


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
            listen(ApiSettings(port=port))
    assert refused.value.code is ErrorCode.API_ADDRESS_UNUSABLE
    assert f"127.0.0.1:{port}" in refused.value.text("ar")


def test_an_adapter_whose_relay_fails_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(settings_file(tmp_path))

    async def broken(_relay: Relay) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Relay, "_run", broken)
    assert asyncio.run(serve(settings, Clock(0))) == 1
