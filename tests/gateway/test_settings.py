"""The authority's settings file: safe when little is said, and whatever is wrong in it is named.

What the topology commands say about theirs: ``test_topology_command.py``.
"""

from pathlib import Path

import pytest

from gateway.settings import read_authority_settings
from schemas.errors import ErrorCode, Refused


def test_what_is_left_out_is_safe(tmp_path: Path) -> None:
    file = tmp_path / "authority.toml"
    file.write_text("", "utf-8")
    settings = read_authority_settings(file)
    assert settings.watch.host == "127.0.0.1"
    assert settings.broker.management.startswith("https://localhost:")
    assert settings.path(settings.keys) == tmp_path / "keys"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[watch]\nhost = ""\n', "watch.host"),
        ("[watch]\nport = 65536\n", "watch.port"),
        ("[broker]\naddresses = []\n", "broker.addresses"),
        ('[broker]\naddresses = ["broker.example"]\n', "broker.addresses.0"),
        ('[broker]\naddresses = ["amqps://broker.example:5671"]\n', "broker.addresses.0"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "authority.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(Refused) as refused:
        read_authority_settings(file)
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert named in refused.value.text("en")
    assert str(file) in refused.value.text("en")
