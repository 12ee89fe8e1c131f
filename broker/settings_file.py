"""Settings in a TOML file: read once, checked whole, and whatever is wrong in it is named.

Unknown members are refused, so that a misspelt setting cannot be ignored.
"""

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ErrorCode, Refused
from schemas.validation import in_arabic

Host = Annotated[str, Field(min_length=1)]
"""On which a server listens. Empty, it would be every interface."""

Port = Annotated[int, Field(ge=0, le=65535)]

Node = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}$")]
"""A broker's ``host:port``."""


class Table(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SettingsFile(Table):
    """The whole file.

    Attributes:
        base: its folder, which paths in it are relative to; never a setting itself.
    """

    base: Annotated[Path, Field(exclude=True)] = Path()

    def path(self, relative: Path) -> Path:
        """``relative`` to the folder of the file."""
        return self.base / relative


Read = TypeVar("Read", bound=SettingsFile)


def read_settings_file(file: Path, kind: type[Read]) -> Read:
    """Read and check ``file``.

    Raises:
        Refused: ``settings_invalid`` with the file and what is wrong with it.
    """
    try:
        values = tomllib.loads(file.read_text("utf-8"))
        return kind(**values, base=file.absolute().parent)
    except OSError as error:
        raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=error.strerror or "unreadable") from error
    except UnicodeDecodeError as error:
        raise Refused(
            ErrorCode.SETTINGS_INVALID, path=str(file), problem_ar="ليس بترميز UTF-8", problem="not UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=str(error)) from error
    except ValidationError as error:
        found = [(".".join(map(str, each["loc"])), each) for each in error.errors()]
        raise Refused(
            ErrorCode.SETTINGS_INVALID,
            path=str(file),
            problem_ar="؛ ".join(f"{place}: {in_arabic(each)}" for place, each in found),
            problem="; ".join(f"{place}: {each['msg']}" for place, each in found),
        ) from error
