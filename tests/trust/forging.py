"""Tokens made by hand, so that they can be wrong in one place. Nothing here uses the product's own signing."""

import base64
import copy
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from schemas.composition import compose_letter
from schemas.directory import KeyPurpose
from schemas.envelope import parse_request
from tests.support.authority import MadeAuthority
from trust.directory import Directory
from trust.directory_entries import encode_certificate
from trust.keys import read_key
from trust.token import Signer, TokenType

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n of P-256 (FIPS 186-5)."""
LETTER_ID = "01936c1e-0000-7000-8000-000000000001"


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def written(value: object) -> bytes:
    """JSON, as it comes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def private_key(
    authority: MadeAuthority, code: str = "MPW", purpose: KeyPurpose = KeyPurpose.SEAL
) -> ec.EllipticCurvePrivateKey:
    return read_key(authority.keys_folder(code) / f"{purpose.value}.key")


def scalars(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def es256(signing_input: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    return joined(*decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256()))))


def header_of(
    authority: MadeAuthority,
    code: str = "MPW",
    purpose: KeyPurpose = KeyPurpose.SEAL,
    typ: object = TokenType.LETTER,
    **changes: object,
) -> dict[str, Any]:
    """The header that the product would write, with ``changes``; a member that is changed to ``...`` is left out."""
    key = authority.file_key(code, purpose)
    header = {
        "alg": "ES256",
        "typ": typ.value if isinstance(typ, TokenType) else typ,
        "kid": key.kid,
        "x5t#S256": key.x5t,
        "iat": int(authority.now.timestamp()),
    } | changes
    return {name: value for name, value in header.items() if value is not ...}


def assembled(header: bytes | Mapping[str, object], payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A compact JWS, truly signed, whatever stands in it."""
    head = header if isinstance(header, bytes) else written(dict(header))
    signing_input = b64(head) + b"." + b64(payload)
    return signing_input + b"." + b64(es256(signing_input, key))


def signature_replaced(token: bytes, signature: bytes) -> bytes:
    return token.rpartition(b".")[0] + b"." + b64(signature)


def malleated(token: bytes) -> bytes:
    """The same document with the other signature that anybody can make of it: (r, n-s)."""
    r, s = scalars(unb64(token.rpartition(b".")[2]))
    return signature_replaced(token, joined(r, ORDER - s))


def digest_of(token: bytes) -> str:
    return hashlib.sha256(token.rpartition(b".")[0]).hexdigest()


def letter_claims(authority: MadeAuthority, sender: str = "MPW", **changes: object) -> dict[str, Any]:
    """A letter to MOF (from MOF, to MPW), as the product composes it, with ``changes``."""
    request = parse_request(
        {
            "type": "letter.general/1",
            "recipients": [{"agency": "MPW" if sender == "MOF" else "MOF", "role": "to"}],
            "content": {"subject": "طلب اعتماد الميزانية التكميلية", "body": "تحية طيبة وبعد،", "fields": {}},
        }
    )
    claims = compose_letter(
        request,
        letter_id=LETTER_ID,
        outgoing_no="وأع/2026/117",
        sender_agency=sender,
        issued_at=authority.now,
        thread_id=LETTER_ID,
    )
    return claims | changes


def letter(authority: MadeAuthority, code: str = "MPW", **changes: object) -> bytes:
    """A genuine letter of ``code``, whose claims have ``changes``."""
    claims = letter_claims(authority, code) | changes
    return assembled(header_of(authority, code), written(claims), private_key(authority, code))


def changed_payload(authority: MadeAuthority) -> dict[str, Any]:
    """The directory's payload, free to be changed."""
    return copy.deepcopy(authority.payload())


def entry_of(payload: dict[str, Any], kid: str) -> dict[str, Any]:
    [entry] = [entry for agency in payload["agencies"] for entry in agency["keys"] if entry["kid"] == kid]
    found: dict[str, Any] = entry
    return found


async def signed_unchecked(
    authority: MadeAuthority,
    payload: Mapping[str, object] | bytes,
    code: str = "TRSL",
    purpose: KeyPurpose = KeyPurpose.DIRECTORY,
    *,
    now: datetime | None = None,
) -> bytes:
    """A directory signed as the product does it, but without its look at the payload first."""
    key = authority.file_key(code, purpose)
    chain = [encode_certificate(item) for item in (key.certificate, authority.issuing.certificate)]
    content = payload if isinstance(payload, bytes) else written(dict(payload))
    instant = int((now or authority.now).timestamp())
    [token] = await Signer(key, chain).sign(TokenType.DIRECTORY, [content], instant)
    return token.text


async def directory_with(authority: MadeAuthority, kid: str, **members: object) -> Directory:
    """The directory with another entry for ``kid``."""
    payload = changed_payload(authority)
    entry_of(payload, kid).update(members)
    return Directory.open(await authority.sign(payload), [authority.root.certificate], authority.now)
