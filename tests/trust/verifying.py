"""Running `tarasul verify` in a test, and documents to run it on."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from schemas.receipts import ReceiptEvent, build_receipt
from schemas.statements import build_dead_letter
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    LETTER_ID,
    assembled,
    header_of,
    private_key,
    written,
)
from trust.command import verify_app
from trust.token import TokenType

CHECKS = ["token", "anchor", "directory", "signer", "signature", "validity", "payload", "sender"]
DAY = timedelta(days=1)
RECEIPT_ID = "01936c1e-0000-7000-8000-0000000000aa"


@dataclass(frozen=True)
class Told:
    """What one run said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Case:
    """A folder with a root and a directory, in which documents are verified."""

    authority: MadeAuthority
    folder: Path
    directory_file: Path

    def verify(self, raw: bytes | str, *options: str, **given: str) -> Told:
        """Run the command on the bytes ``raw``, or on the file that the text ``raw`` names."""
        file = raw if isinstance(raw, str) else str(self.folder / "document.jws")
        if isinstance(raw, bytes):
            Path(file).write_bytes(raw)
        paths = {"anchor": str(self.authority.root_file), "directory": str(self.directory_file)} | given
        arguments = [file, *(part for name, path in paths.items() for part in (f"--{name}", path)), *options]
        result = CliRunner().invoke(verify_app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Told(result.exit_code, result.stdout, result.stderr)

    def by_json(self, raw: bytes | str, *options: str, **given: str) -> Told:
        return self.verify(raw, "--json", *options, **given)


def assert_fails(told: Told, name: str, code: ErrorCode) -> None:
    """The check ``name`` failed with ``code``, those before it held, and nothing later is claimed."""
    document = told.document
    checks = document["checks"]
    assert told.code == 1
    assert document["verified"] is False
    assert (checks[-1]["name"], checks[-1]["ok"], checks[-1]["code"]) == (name, False, code.value)
    assert all(check["ok"] and "code" not in check for check in checks[:-1])
    assert [check["name"] for check in checks] == (["files"] if name == "files" else CHECKS[: CHECKS.index(name) + 1])
    assert all(check["detail"] and check["detail_ar"] for check in checks)
    assert not {"letter", "receipt", "dead_letter"} & set(document)


def receipt(authority: MadeAuthority, code: str, purpose: KeyPurpose = KeyPurpose.SEAL, **changes: object) -> bytes:
    claims = build_receipt(
        event=ReceiptEvent.REGISTERED,
        issuer="MOF",
        audience="MPW",
        jti=RECEIPT_ID,
        issued_at=int(authority.now.timestamp()),
        occurred_at=int(authority.now.timestamp()),
        thread_id=LETTER_ID,
        letter_id=LETTER_ID,
        recipient="MOF",
        digest="ab" * 32,
        details={"incoming_no": "و/55", "clerk": "registry"},
    )
    header = header_of(authority, code, purpose, TokenType.RECEIPT)
    return assembled(header, written(claims | changes), private_key(authority, code, purpose))


def dead_letter(authority: MadeAuthority, code: str, **changes: object) -> bytes:
    claims = build_dead_letter(
        agency="MOF",
        recipient="MOF",
        digest="cd" * 32,
        reason="schema_invalid",
        stage="content",
        attempts=3,
        exchange="from.MPW",
        routing_key="MOF.routine",
        received_at=1_700_000_000,
        given_up_at=1_700_000_060,
    )
    header = header_of(authority, code, typ=TokenType.DEAD_LETTER)
    return assembled(header, written(claims | changes), private_key(authority, code))
