"""The settings file: safe when little is said, and whatever is wrong in it is named."""

from pathlib import Path

import pytest

from agency_adapter.settings import read_settings
from schemas.errors import ErrorCode, Refused

LEAST = 'agency = "MPW"\n[broker]\nnodes = ["broker.example:5671"]\n'


def read(folder: Path, text: str | bytes) -> object:
    file = folder / "adapter.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings(file)


def test_what_is_left_out_is_safe(tmp_path: Path) -> None:
    file = tmp_path / "adapter.toml"
    file.write_text(LEAST, "utf-8")
    settings = read_settings(file)
    assert settings.api.host == "127.0.0.1"
    assert settings.api.port == 8100
    assert settings.api.largest_body == 1024 * 1024
    assert settings.broker.vhost == "tarasul"
    for relative in (settings.store, settings.api.token_file, settings.trust.root, settings.keys.directory):
        assert settings.path(relative).parent == tmp_path


def test_paths_are_relative_to_the_file_and_may_be_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "adapter.toml"
    text = 'store = "state/store.db"\n' + LEAST + '[trust]\nroot = "/etc/tarasul/root.pem"\n'
    file.write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    settings = read_settings(Path("adapter.toml"))
    assert settings.path(settings.store) == tmp_path / "state" / "store.db"
    assert settings.path(settings.trust.root) == Path("/etc/tarasul/root.pem")


@pytest.mark.parametrize("node", ["10.0.0.7:5671", "[::1]:5671", "broker-1.example.gov.kw:5671"])
def test_nodes_are_hosts_with_ports(tmp_path: Path, node: str) -> None:
    assert read(tmp_path, LEAST.replace("broker.example:5671", node)).broker.nodes == (node,)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "agency"),
        ("", "broker"),
        ('agency = "MPW"\n', "broker"),
        (LEAST.replace("MPW", "mpw"), "agency"),
        (LEAST.replace("MPW", "MINISTRIES"), "agency"),
        (LEAST.replace('["broker.example:5671"]', "[]"), "broker.nodes"),
        (LEAST.replace('["broker.example:5671"]', '"broker.example:5671"'), "broker.nodes"),
        (LEAST.replace("broker.example:5671", "broker.example"), "broker.nodes.0"),
        (LEAST.replace("broker.example:5671", "amqps://broker.example:5671"), "broker.nodes.0"),
        (LEAST.replace("broker.example:5671", "broker.example:port"), "broker.nodes.0"),
        (LEAST + 'vhost = ""\n', "broker.vhost"),
        (LEAST + "prefetch = 1\n", "broker.prefetch"),
        (LEAST + "[api]\nport = 70000\n", "api.port"),
        (LEAST + '[api]\nport = "http"\n', "api.port"),
        (LEAST + '[api]\nhost = ""\n', "api.host"),
        (LEAST + "[api]\nlargest_body = 10\n", "api.largest_body"),
        (LEAST + "[api]\nlargest_body = 1000000000\n", "api.largest_body"),
        (LEAST + '[api]\ntoken = "secret"\n', "api.token"),
        (LEAST + "[keys]\ndirectory = 1\n", "keys.directory"),
        (LEAST + '[trust]\nanchor = "root.pem"\n', "trust.anchor"),
        ("pages = true\n" + LEAST, "pages"),
        ('base = "/"\n' + LEAST, "base"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(Refused) as refused:
        read(tmp_path, text)
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    for language in ("ar", "en"):
        assert named in refused.value.text(language)  # type: ignore[arg-type] # both are languages
    assert "القيمة غير صحيحة (" not in refused.value.text("ar"), "of a kind that has no words in Arabic"
    assert str(tmp_path / "adapter.toml") in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["agency = MPW", "[", b"\xff\xfe", "agency = 1\nagency = 2\n", "\x00"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(Refused) as refused:
        read(tmp_path, text)
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert "codec" not in str(refused.value)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(Refused) as refused:
            read_settings(file)
        assert refused.value.code is ErrorCode.SETTINGS_INVALID
        assert "Errno" not in str(refused.value)
