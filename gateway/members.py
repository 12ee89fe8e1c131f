"""Who is a member, as the authority writes it down, and the directory that it signs from that.

    with Members.held(folder) as members:
        members.sign_next(now)        # authority/directory.jws, one version on

The list stands in ``authority/members.json``; its version is written before a directory of that version is signed,
and only by the one process that holds the list, so that no version is ever signed twice with different content,
whatever that process dies of.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509

from schemas.directory import AgencyStatus, KeyPurpose, parse_directory
from schemas.errors import ErrorCode, Refused
from trust.certificates import read_certificate
from trust.directory import sign_directory
from trust.directory_entries import describe_key, encode_certificate
from trust.keys import FileKey

VALID_DAYS = 30
"""The longest that adapters accept; a directory is signed daily all the same."""


def authority_folder(folder: Path) -> Path:
    """The authority's own part of ``folder``."""
    return folder / "authority"


def write_whole(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace ``file`` in one step, on the disk when this returns. If it fails, nothing has changed."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    with _opened(file.parent) as folder:
        # The new name is on the disk only with the folder that it stands in.
        os.fsync(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Members:
    """The list of one authority.

    Attributes:
        folder: that holds ``authority/``.
        version: of the newest directory.
        records: of members, as they stand in the directory.
        log: the key of the authority's log, if there is one.
    """

    folder: Path
    version: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    log: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The list in ``folder``, to look at; to change or sign it, see :meth:`held`.

        Raises:
            Refused: ``settings_invalid`` when there is none, or it cannot be read.
        """
        file = authority_folder(folder) / "members.json"
        try:
            content = json.loads(file.read_text("utf-8"))
            version, records, log = content["version"], content["agencies"], content.get("log")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(ErrorCode.SETTINGS_INVALID, path=str(file), problem=type(error).__name__) from error
        if type(version) is not int or version < 0:
            raise Refused(
                ErrorCode.SETTINGS_INVALID,
                path=str(file),
                problem_ar="version: ليس عدداً صحيحاً من 0",
                problem="version: not a whole number from 0",
            )
        if not isinstance(records, list) or not all(
            isinstance(record, dict) and "code" in record for record in records
        ):
            raise Refused(
                ErrorCode.SETTINGS_INVALID,
                path=str(file),
                problem_ar="agencies: ليست قائمة أعضاء",
                problem="agencies: not a list of members",
            )
        return cls(folder, version, records, log)

    @classmethod
    @contextlib.contextmanager
    def held(cls, folder: Path) -> Iterator[Self]:
        """The list in ``folder``, which no other process can hold at the same time; waits for one that does.

        Raises:
            Refused: ``settings_invalid`` when there is none, or it cannot be read.
        """
        home = authority_folder(folder)
        try:
            descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise Refused(ErrorCode.SETTINGS_INVALID, path=str(home), problem=problem) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield cls.read(folder)
        finally:
            os.close(descriptor)

    def add(self, code: str, names: tuple[str, str], kind: str, certificates: list[x509.Certificate]) -> None:
        """Enter an active member with its keys; ``names`` are Arabic and English."""
        self.records.append(
            {
                "code": code,
                "name_ar": names[0],
                "name_en": names[1],
                "kind": kind,
                "status": AgencyStatus.ACTIVE.value,
                "keys": [describe_key(certificate) for certificate in certificates],
            }
        )

    @property
    def codes(self) -> list[str]:
        return [str(record["code"]) for record in self.records]

    def sign_next(self, now: datetime) -> Path:
        """Sign the next version of the directory; returns its file. Only for a list that is :meth:`held`, or new.

        Raises:
            Refused: ``schema_invalid`` for a list that is no directory; ``key_unreadable``,
                ``certificate_unreadable``. Nothing has been written then.
        """
        home = authority_folder(self.folder)
        issuer = read_certificate(home / "issuing" / "issuing.pem")
        key = FileKey(
            home / "keys" / f"{KeyPurpose.DIRECTORY.value}.key", home / "keys" / f"{KeyPurpose.DIRECTORY.value}.pem"
        )
        payload = {
            "version": self.version + 1,
            "issued_at": _written(now),
            "valid_until": _written(now + timedelta(days=VALID_DAYS)),
            "issuers": [encode_certificate(issuer)],
            "agencies": self.records,
        }
        if self.log is not None:
            payload["log"] = self.log
        parse_directory(dict(payload))
        self.version += 1
        self._write(home)
        signed = asyncio.run(sign_directory(payload, key, [issuer], int(now.timestamp())))
        file = home / "directory.jws"
        write_whole(file, signed)
        return file

    def _write(self, home: Path) -> None:
        content = {"version": self.version, "log": self.log, "agencies": self.records}
        write_whole(home / "members.json", json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
