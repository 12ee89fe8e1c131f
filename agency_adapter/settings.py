"""The settings of one adapter: one TOML file, safe defaults, nothing secret in it.

Paths are relative to the file. Unknown members are refused by name, so that a misspelt setting cannot be ignored.
"""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ErrorCode, Refused

if TYPE_CHECKING:
    from broker.connection import BrokerAddress


Node = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Table):
    """The local REST API. Loopback by default; put a proxy with TLS before it to reach it from elsewhere."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"  # empty, it would be every interface
    port: Annotated[int, Field(ge=0, le=65535)] = 8100
    token_file: Path = Path("token")
    largest_body: Annotated[int, Field(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024


class BrokerSettings(_Table):
    """Where the broker is. ``nodes`` are ``host:port``; the certificate must name the host."""

    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    vhost: Annotated[str, Field(min_length=1)] = "tarasul"
    ca_file: Path = Path("root.pem")


class KeySettings(_Table):
    """Folder of ``transport``, ``seal`` and ``envelope``, each a ``.key`` and a ``.pem``."""

    directory: Path = Path("keys")


class TrustSettings(_Table):
    """The pinned root and the signed directory."""

    root: Path = Path("root.pem")
    directory_file: Path = Path("directory.jws")


class Settings(_Table):
    """See the module's docstring."""

    agency: Annotated[str, Field(pattern=r"^[A-Z]{2,8}$")]
    store: Path = Path("store.db")
    api: ApiSettings = ApiSettings()
    broker: BrokerSettings
    keys: KeySettings = KeySettings()
    trust: TrustSettings = TrustSettings()
    base: Annotated[Path, Field(exclude=True)] = Path()

    def path(self, relative: Path) -> Path:
        """``relative`` to the folder of the settings file."""
        return self.base / relative

    def address(self) -> "BrokerAddress":
        """How this adapter reaches the broker."""
        # The command line reads settings too, and has no use for the AMQP library.
        from broker.connection import BrokerAddress  # noqa: PLC0415

        keys = self.path(self.keys.directory)
        return BrokerAddress(
            nodes=self.broker.nodes,
            certificate=keys / "transport.pem",
            key=keys / "transport.key",
            authority=self.path(self.broker.ca_file),
            vhost=self.broker.vhost,
        )


def read_settings(file: Path) -> Settings:
    """Read and check the settings in ``file``.

    Raises:
        Refused: ``settings_invalid`` with the file and what is wrong with it.
    """
    try:
        values = tomllib.loads(file.read_text("utf-8"))
        return Settings(**values, base=file.absolute().parent)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
        raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=str(error)) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=problems) from error
