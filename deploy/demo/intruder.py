"""The intruder: whoever holds SAB's real broker account, publishing into MOF's mailbox what SAB may not say.

SAB received a genuine copy of a letter from MPW, so the intruder has MPW's genuine bytes. It publishes, through the
exchange that SAB's account may write to,

* a *forged* letter: MPW's header, another text, a signature by a key of the intruder's own;
* an *altered* letter: MPW's genuine letter with one character changed;
* a *replayed* letter: MPW's genuine letter, byte for byte;
* a *poisoned* one: its header is JSON nested so deep that a careless reader dies of it, and dies again whenever it is
  started.
"""

import asyncio
import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from broker.connection import BrokerAddress
from broker.names import from_exchange
from broker.publishing import Outcome, Outgoing
from broker.session import Session, SessionState

PATIENCE_SECONDS = 60.0
DEPTH = 1_400


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def hostile_messages(genuine: bytes) -> dict[str, bytes]:
    """Name → bytes of each hostile message, made from a ``genuine`` letter."""
    header, payload, signature = genuine.split(b".")
    claims = json.loads(_decode(payload))
    claims["content"]["subject"] = "أمر صرف عاجل"
    signing_input = header + b"." + _encode(json.dumps(claims, ensure_ascii=False).encode())
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
    forged = signing_input + b"." + _encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    text = _decode(payload).decode()
    altered = b".".join((header, _encode(text.replace("60٪", "90٪").encode()), signature))
    poisoned = b".".join((_encode(b'{"alg":' + b"[" * DEPTH + b"]" * DEPTH + b"}"), payload, signature))
    return {"forged": forged, "altered": altered, "replayed": genuine, "poisoned": poisoned}


async def publish(address: BrokerAddress, agency: str, routing_key: str, messages: dict[str, bytes]) -> list[str]:
    """Publish ``messages`` with the account of ``agency``; the names of those that the broker confirmed.

    Raises:
        TimeoutError: the broker did not let the account in.
    """
    session = Session(address, from_exchange(agency), {}, "intruder")
    session.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await session.wait_for(SessionState.READY)
        outcomes = await session.publish(
            [
                Outgoing((number,), routing_key, body, "application/jose")
                for number, body in enumerate(messages.values())
            ]
        )
    finally:
        await session.stop()
    return [name for name, outcome in zip(messages, outcomes, strict=True) if outcome is Outcome.CONFIRMED]


def account(folder: Path, node: str) -> BrokerAddress:
    """The stolen account: transport key and certificate in an agency's ``folder``."""
    keys = folder / "keys"
    return BrokerAddress((node,), keys / "transport.pem", keys / "transport.key", folder / "root.pem")
