"""A real authority for tests: root, issuing authority, keys in files, and a signed directory that can be rebuilt.

authority = MadeAuthority(tmp_path, now, ["MPW", "MOF"])
seal = authority.file_key("MPW", KeyPurpose.SEAL)
directory = authority.directory()
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from schemas.directory import KeyPurpose, RevocationKind
from schemas.identifiers import AUTHORITY
from trust.certificates import (
    IssuingAuthority,
    RootAuthority,
    certificate_owner,
    certificate_purpose,
    write_certificates,
)
from trust.directory import Directory, sign_directory
from trust.directory_entries import describe_key, encode_certificate
from trust.keys import FileKey, generate_key
from trust.token import Signer

AGENCY_PURPOSES = (KeyPurpose.TRANSPORT, KeyPurpose.SEAL, KeyPurpose.ENVELOPE)
AUTHORITY_PURPOSES = (*AGENCY_PURPOSES, KeyPurpose.DIRECTORY, KeyPurpose.RECEIPTS)
_NAMES = {
    "MPW": ("وزارة الأشغال العامة", "Ministry of Public Works"),
    "MOF": ("وزارة المالية", "Ministry of Finance"),
    "SAB": ("ديوان المحاسبة", "State Audit Bureau"),
    AUTHORITY: ("الجهة المشغّلة للشبكة", "Central authority"),
}


class MadeAuthority:
    """Root, issuing authority and members, in a folder.

    Args:
        folder: empty; laid out as `tarasul authority bootstrap` does: ``root-offline/``, ``authority/issuing/`` and
            ``agencies/<CODE>/keys/`` of each member, the authority among them.
        now: start of the directory's validity; certificates are valid from ten years before, for leaves a year.
        agencies: codes of the members; the authority itself is added.
    """

    def __init__(self, folder: Path, now: datetime | None = None, agencies: Sequence[str] = ("MPW", "MOF")) -> None:
        self.folder = folder
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        long = {"not_before": self.now - timedelta(days=3650), "not_after": self.now + timedelta(days=7300)}
        self.root = RootAuthority.create(folder / "root-offline", **long)
        self.issuing = IssuingAuthority.create(
            folder / "authority" / "issuing", self.root, "Tarasul Issuing CA 1", **long
        )
        self.version = 1
        self.keys: dict[str, list[dict[str, Any]]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        for code in agencies:
            for purpose in AGENCY_PURPOSES:
                self.add_key(code, purpose)
        for purpose in AUTHORITY_PURPOSES:
            self.add_key(AUTHORITY, purpose)

    @property
    def root_file(self) -> Path:
        return self.folder / "root-offline" / "root.pem"

    def keys_folder(self, code: str) -> Path:
        """Where a member's ``<name>.key`` and ``<name>.pem`` are; ``<name>`` is the purpose unless one was given."""
        return self.folder / "agencies" / code / "keys"

    def add_key(
        self,
        code: str,
        purpose: KeyPurpose,
        *,
        name: str | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        listed: bool = True,
    ) -> FileKey:
        """Make and certify a key; ``name`` is its files', by default the purpose."""
        key_file = self.keys_folder(code) / f"{name or purpose.value}.key"
        certificate = self.issuing.issue_certificate(
            purpose,
            code,
            generate_key(key_file),
            not_before=not_before or self.now - timedelta(hours=1),
            not_after=not_after or self.now + timedelta(days=365),
        )
        write_certificates(key_file.with_suffix(".pem"), [certificate])
        self.keys.setdefault(code, [])
        if listed:
            self.keys[code].append(describe_key(certificate))
        return FileKey(key_file, key_file.with_suffix(".pem"))

    def file_key(self, code: str, purpose: KeyPurpose = KeyPurpose.SEAL, *, name: str | None = None) -> FileKey:
        key_file = self.keys_folder(code) / f"{name or purpose.value}.key"
        return FileKey(key_file, key_file.with_suffix(".pem"))

    def signer(self, code: str, purpose: KeyPurpose = KeyPurpose.SEAL) -> Signer:
        return Signer(self.file_key(code, purpose))

    def server_files(self, name: str = "broker") -> tuple[Path, Path]:
        """Key and certificate files of a TLS server on loopback."""
        key_file = self.folder / "servers" / f"{name}.key"
        certificate = self.issuing.issue_server_certificate(
            name,
            generate_key(key_file),
            not_before=self.now - timedelta(hours=1),
            not_after=self.now + timedelta(days=365),
        )
        write_certificates(key_file.with_suffix(".pem"), [certificate, self.issuing.certificate])
        return key_file, key_file.with_suffix(".pem")

    def revoke(self, kid: str, at: datetime, kind: RevocationKind = RevocationKind.ORDINARY) -> None:
        """Revoke a key in the next directory."""
        self.change_key(kid, revoked_at=at.isoformat(), revocation=kind.value)

    def expire(self, kid: str, at: datetime) -> None:
        """End a key's validity in the next directory."""
        self.change_key(kid, not_after=at.isoformat())

    def change_key(self, kid: str, **members: object) -> None:
        """Change a key's entry in the next directory; a change counts only in :meth:`signed_directory`."""
        [entry] = [entry for entries in self.keys.values() for entry in entries if entry["kid"] == kid]
        entry.update(members)

    def change_agency(self, code: str, **members: object) -> None:
        """Change a member's record in the next directory."""
        self.changes.setdefault(code, {}).update(members)

    def payload(self) -> dict[str, Any]:
        """The next directory, unsigned."""
        return {
            "version": self.version,
            "issued_at": self.now.isoformat(),
            "valid_until": (self.now + timedelta(days=30)).isoformat(),
            "issuers": [encode_certificate(self.issuing.certificate)],
            "agencies": [
                {
                    "code": code,
                    "name_ar": _NAMES.get(code, (code, code))[0],
                    "name_en": _NAMES.get(code, (code, code))[1],
                    "kind": "authority" if code == AUTHORITY else "ministry",
                    "status": "active",
                    "keys": keys,
                }
                | self.changes.get(code, {})
                for code, keys in self.keys.items()
            ],
        }

    async def sign(self, payload: dict[str, Any] | None = None, *, key: FileKey | None = None) -> bytes:
        return await sign_directory(
            payload or self.payload(),
            key or self.file_key(AUTHORITY, KeyPurpose.DIRECTORY),
            [self.issuing.certificate],
            int(self.now.timestamp()),
        )

    def signed_directory(self, payload: dict[str, Any] | None = None) -> bytes:
        """The next directory as a token; not for use inside a running event loop (:meth:`sign` is)."""
        return asyncio.run(self.sign(payload))

    def write_directory(self, file: Path | None = None) -> Path:
        file = file or self.folder / "directory.jws"
        file.write_bytes(self.signed_directory())
        return file

    def directory(self) -> Directory:
        """The next directory, opened; not for use inside a running event loop."""
        return Directory.open(self.signed_directory(), [self.root.certificate], self.now)


def described(certificate: x509.Certificate) -> str:
    """Owner and purpose, for messages of tests."""
    return f"{certificate_owner(certificate)} {certificate_purpose(certificate)}"
