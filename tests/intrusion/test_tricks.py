"""What a hostile agency can say through its own account, and that it moves nothing but the quarantine.

After every trick :meth:`Siege.attack` looks at all that could have changed; see there.
"""

import base64
import json
import random
import secrets
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from broker.frames import LARGEST_PROPERTIES
from broker.versions import BrokerVersion
from schemas.identifiers import uuid7
from schemas.reasons import IncidentReason, NonDeliveryReason
from tests.behaviour.bed import claims_of, decoded, encoded
from tests.behaviour.test_letters_arriving import malleated
from tests.intrusion.siege import Answered, Caught, Siege
from tests.support.adapters import Bed
from tests.support.raw_client import RawClient
from trust.token import TokenType

SAB = "from.SAB"
ROUTINE, URGENT, NOTICE = "MOF.routine", "MOF.urgent", "MOF.notice"
LARGEST_MESSAGE = 1024 * 1024


@pytest.fixture(scope="module")
def siege(bed: Bed) -> Iterator[Siege]:
    yield Siege(bed).begin()
    bed.reset()


def all_taken(*answers: str) -> bool:
    """The broker has taken every message: nothing stands between the trick and the adapter."""
    return set(answers) == {"ack"}


# Bytes


def altered(token: bytes) -> bytes:
    """Another subject under the same header and signature."""
    header, _, signature = token.split(b".")
    claims = claims_of(token)
    claims["content"]["subject"] = "أمر صرف عاجل"
    return b".".join((header, encoded(json.dumps(claims, ensure_ascii=False).encode()), signature))


def forged(token: bytes) -> bytes:
    """Another subject under the same header, signed with a key of the intruder's own."""
    signing_input = altered(token).rpartition(b".")[0]
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
    return signing_input + b"." + encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def relabelled(token: bytes, **members: object) -> bytes:
    """The same payload and signature under another header."""
    header, payload, signature = token.split(b".")
    found = json.loads(decoded(header)) | members
    return b".".join((encoded(json.dumps(found).encode()), payload, signature))


def test_genuine_bytes_of_another_agency_are_a_replay_and_everything_like_them_a_forgery(
    siege: Siege, sab: RawClient
) -> None:
    messages = {
        siege.genuine: IncidentReason.FOREIGN_EXCHANGE,
        malleated(siege.genuine): IncidentReason.FOREIGN_EXCHANGE,
        altered(siege.genuine): IncidentReason.SIGNATURE_INVALID,
        forged(siege.genuine): IncidentReason.SIGNATURE_INVALID,
        relabelled(siege.genuine, kid="MPW.seal.nobody"): IncidentReason.KEY_UNKNOWN,
        relabelled(siege.genuine, alg="none"): IncidentReason.TOKEN_MALFORMED,
        siege.sign(claims_of(siege.genuine), key="transport"): IncidentReason.KEY_WRONG_PURPOSE,
    }
    with siege.attack(*(Caught(body, reason) for body, reason in messages.items())):
        assert all_taken(*(sab.publish(SAB, ROUTINE, body) for body in messages))


def test_a_letter_signed_by_its_publisher_in_the_name_of_another_is_refused_to_the_publisher(
    siege: Siege, sab: RawClient
) -> None:
    letter = siege.sign(claims_of(siege.genuine))
    with siege.attack(
        Caught(letter, NonDeliveryReason.NOT_ALLOWED), answered=[Answered(letter, NonDeliveryReason.NOT_ALLOWED)]
    ):
        assert all_taken(sab.publish(SAB, ROUTINE, letter))


# Routing


def test_a_foreign_routing_key_moves_a_message_to_no_better_place(siege: Siege, sab: RawClient) -> None:
    routine, unroutable = siege.letter(), secrets.token_bytes(20)
    lane = NonDeliveryReason.LANE_MISMATCH
    with siege.attack(
        Caught(siege.genuine, IncidentReason.FOREIGN_EXCHANGE, queue="inbox.MOF.urgent"),
        Caught(routine, lane, queue="inbox.MOF.urgent"),
        answered=[Answered(routine, lane)],
    ):
        assert all_taken(sab.publish(SAB, URGENT, siege.genuine), sab.publish(SAB, URGENT, routine))
        for key in ("dead-letter", "TRSL.notice", "ZZZ.routine"):
            assert all_taken(sab.publish(SAB, key, unroutable))
        assert sab.publish(SAB, "MOF.nolane", unroutable) == "403"
    for queue in ("dead-letter.SAB", "notices.TRSL", "dead-letter"):
        [message] = siege.take(queue, 1)
        assert (message["exchange"], base64.b64decode(message["payload"])) == (SAB, unroutable), queue


def test_a_copy_by_cc_is_an_incident_wherever_it_arrives(
    siege: Siege, sab: RawClient, broker_version: BrokerVersion
) -> None:
    letter = siege.letter()
    copies = ["MOF.urgent", "MOF.notice", "MPW.routine", "dead-letter"]
    fenced = [*copies, "MOF.order", "MOF.nolane", "journal"]
    if broker_version.topic_permissions_cover_cc:
        assert sab.publish(SAB, ROUTINE, letter, headers={"CC": fenced}) == "403"
    else:
        copies = fenced
    with siege.attack(
        *(
            Caught(letter, IncidentReason.CARRIES_CC, at=at, queue=queue)
            for at, queue in (
                ("MOF", "inbox.MOF.routine"),
                ("MOF", "inbox.MOF.urgent"),
                ("MOF", "notices.MOF"),
                ("MPW", "inbox.MPW.routine"),
            )
        )
    ):
        assert all_taken(sab.publish(SAB, ROUTINE, letter, headers={"CC": copies}))
        assert sab.publish(SAB, ROUTINE, letter, headers={"CC": "MPW.routine"}) == "406"
    assert len(siege.take("dead-letter.SAB", 1)) == 1
    assert siege.bed.ready_messages("orders.MOF") == siege.bed.ready_messages("dead-letter.MOF") == 0


def test_a_blind_copy_is_known_by_its_foreign_routing_key(siege: Siege, sab: RawClient) -> None:
    """The broker takes the header away: the first copy is as good as one without, the others are incidents."""
    letter = siege.letter()
    with siege.attack(
        *(
            Caught(letter, IncidentReason.ROUTING_KEY_FOREIGN, at=at, queue=queue)
            for at, queue in (("MOF", "inbox.MOF.urgent"), ("MOF", "notices.MOF"), ("MPW", "inbox.MPW.urgent"))
        ),
        answered=[Answered(letter)],
    ):
        copies = ["MOF.urgent", "MOF.notice", "MPW.urgent"]
        assert all_taken(sab.publish(SAB, ROUTINE, letter, headers={"BCC": copies}))


# Headers


def test_a_header_that_is_neither_an_adapters_nor_the_brokers_is_an_incident(siege: Siege, sab: RawClient) -> None:
    death = {"queue": "inbox.MPW.routine", "exchange": "from.MPW", "reason": "expired", "count": 1}
    statement = siege.sign({"digest": siege.digest}, TokenType.REDELIVERY).decode()
    tables: list[dict[str, object]] = [
        {"x-death": [death]},
        {"x-first-death-exchange": "from.MPW", "x-first-death-queue": "inbox.MPW.routine"},
        {"statement": "from.MPW"},
        {"statement": statement},
        {"x-stream-offset": 1},
        {"cc": ["MPW.routine"]},
        {"": ""},
    ]
    letters = [siege.letter() for _ in tables]
    with siege.attack(*(Caught(letter, IncidentReason.CARRIES_FOREIGN_HEADER) for letter in letters)):
        assert all_taken(
            *(sab.publish(SAB, ROUTINE, letter, headers=table) for letter, table in zip(letters, tables, strict=True))
        )


def test_a_forged_delivery_count_is_not_believed_and_harms_nothing(siege: Siege, sab: RawClient) -> None:
    letters = [siege.letter() for _ in range(3)]
    with siege.attack(answered=[Answered(letter) for letter in letters]):
        for letter, count in zip(letters, (1_000_000, -1, "many"), strict=True):
            assert all_taken(sab.publish(SAB, ROUTINE, letter, headers={"x-delivery-count": count}))


def nested(depth: int) -> bytes:
    """A header table with tables in it, ``depth`` deep."""
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


def many(size: int) -> bytes:
    """A header table of about ``size`` bytes: empty strings under different names."""
    return b"".join(b"\x04" + b"%04x" % (number % 65536) + b"S\0\0\0\0" for number in range(size // 10))


UNREADABLE: dict[str, Callable[[RawClient, str, bytes], str]] = {
    "a header name that is no UTF-8": lambda raw, key, body: raw.publish_raw_headers(
        SAB, key, b"\x02\xff\xfeS\0\0\0\x01a", body
    ),
    "tables a thousand deep": lambda raw, key, body: raw.publish_raw_headers(SAB, key, nested(1_000), body),
    "a header table of 100 KiB": lambda raw, key, body: raw.publish_raw_headers(SAB, key, many(100 * 1024), body),
    "one header too large": lambda raw, key, body: raw.publish(
        SAB, key, body, headers={"statement": "s" * LARGEST_PROPERTIES}
    ),
    "a message id that is no UTF-8": lambda raw, key, body: raw.publish_raw_message_id(SAB, key, b"\xff\xfe", body),
    "a time beyond all years": lambda raw, key, body: raw.publish_raw_timestamp(SAB, key, 2**64 - 1, body),
}


def test_properties_that_cannot_be_read_are_an_incident_and_cost_no_connection(siege: Siege, sab: RawClient) -> None:
    letters = {name: siege.letter() for name in UNREADABLE}
    receipts = {name: siege.receipt + b"\n" + name.encode() for name in UNREADABLE}
    reason = IncidentReason.CARRIES_FOREIGN_HEADER
    with siege.attack(
        *(Caught(letter, reason) for letter in letters.values()),
        *(Caught(receipt, reason, queue="notices.MOF") for receipt in receipts.values()),
    ):
        for name, publish in UNREADABLE.items():
            assert all_taken(publish(sab, ROUTINE, letters[name]), publish(sab, NOTICE, receipts[name])), name
        assert sab.publish_raw_routing_key(SAB, b"MOF.\xff\xfe", b"x") == "403"


def test_properties_that_mean_nothing_to_an_adapter_change_nothing(siege: Siege, sab: RawClient) -> None:
    letters = [siege.letter() for _ in range(2)]
    with siege.attack(answered=[Answered(letter) for letter in letters]):
        assert all_taken(
            sab.publish(SAB, ROUTINE, letters[0], content_type="text/html"),
            sab.publish_raw_message_id(SAB, ROUTINE, b"../../etc/passwd", letters[1]),
        )


# Expiration


def test_an_expiration_is_an_incident_and_the_letter_without_it_arrives(siege: Siege, sab: RawClient) -> None:
    letter = siege.letter()
    with siege.attack(Caught(letter, IncidentReason.CARRIES_EXPIRATION), answered=[Answered(letter)]):
        assert all_taken(sab.publish(SAB, ROUTINE, letter, expiration="60000"), sab.publish(SAB, ROUTINE, letter))
        assert sab.publish(SAB, ROUTINE, letter, expiration="soon") == "406"


def test_what_expires_while_its_recipient_is_away_lies_in_dead_letter(siege: Siege, sab: RawClient) -> None:
    siege.bed.stop("MOF")
    letter = siege.letter()
    assert all_taken(sab.publish(SAB, ROUTINE, letter, expiration="1"))
    [message] = siege.take("dead-letter", 1)
    assert (message["exchange"], message["routing_key"]) == ("dead-letter", ROUTINE)
    assert base64.b64decode(message["payload"]) == letter
    assert message["properties"]["headers"]["x-death"][0]["reason"] == "expired"
    siege.bed.start("MOF")
    with siege.attack(answered=[Answered(letter)]):
        assert all_taken(sab.publish(SAB, ROUTINE, letter))


# Tokens in the wrong place, and receipts


def test_a_token_of_another_type_is_no_letter(siege: Siege, sab: RawClient) -> None:
    tokens = [
        siege.receipt,
        (siege.bed.agency("SAB") / "directory.jws").read_bytes(),
        *(siege.sign(claims_of(siege.genuine), typ) for typ in TokenType if typ is not TokenType.LETTER),
    ]
    with siege.attack(*(Caught(token, IncidentReason.WRONG_TOKEN_TYPE) for token in tokens)):
        assert all_taken(*(sab.publish(SAB, ROUTINE, token) for token in tokens))


def test_a_token_of_another_type_is_no_receipt(siege: Siege, sab: RawClient) -> None:
    tokens = [
        siege.genuine,
        *(siege.sign(claims_of(siege.receipt), typ) for typ in TokenType if typ is not TokenType.RECEIPT),
    ]
    with siege.attack(*(Caught(token, IncidentReason.WRONG_TOKEN_TYPE, queue="notices.MOF") for token in tokens)):
        assert all_taken(sab.publish(SAB, NOTICE, b"\n".join(tokens)))


def test_a_third_agency_cannot_end_or_change_a_transmission(siege: Siege, sab: RawClient) -> None:
    """MPW's letter to MOF is delivered, the copy to SAB still on its way; SAB says what it may not about either."""
    of_another = siege.claims_of_receipt()
    own_unknown = siege.claims_of_receipt() | {
        "sub_id": of_another["sub_id"] | {"recipient": "SAB", "digest": "0" * 64}
    }
    wrong = IncidentReason.RECEIPT_WRONG_SIGNER
    messages = {
        siege.sign(of_another, TokenType.RECEIPT): wrong,
        siege.sign(of_another | {"iss": "MOF"}, TokenType.RECEIPT): wrong,
        siege.sign(of_another | {"iss": "TRSL"}, TokenType.RECEIPT): wrong,
        siege.sign(own_unknown | {"aud": "MOF"}, TokenType.RECEIPT): wrong,
        siege.sign(own_unknown, TokenType.RECEIPT): IncidentReason.RECEIPT_UNMATCHED,
        siege.sign(own_unknown | {"toe": 2**53 - 1}, TokenType.RECEIPT): IncidentReason.RECEIPT_MALFORMED,
        siege.sign(own_unknown | {"events": {"urn:x:none": {}}}, TokenType.RECEIPT): IncidentReason.RECEIPT_MALFORMED,
        altered_receipt(siege.receipt): IncidentReason.SIGNATURE_INVALID,
    }
    with siege.attack(*(Caught(body, reason, at="MPW", queue="notices.MPW") for body, reason in messages.items())):
        assert all_taken(sab.publish(SAB, "MPW.notice", b"\n".join(messages)))


def altered_receipt(token: bytes) -> bytes:
    """*Not delivered* under the signature of *delivered*."""
    header, payload, signature = token.split(b".")
    text = decoded(payload).replace(b"ContentConsignment", b"ContentConsignmentFailure")
    return b".".join((header, encoded(text), signature))


def test_a_genuine_receipt_is_genuine_whoever_brings_it_and_counts_once(siege: Siege, sab: RawClient) -> None:
    with siege.attack(repeated=3):
        assert all_taken(
            sab.publish(SAB, "MPW.notice", siege.receipt),
            sab.publish(SAB, "MPW.notice", malleated(siege.receipt) + b"\n" + siege.receipt),
        )


def test_a_genuine_receipt_is_of_no_use_in_the_notices_of_another(siege: Siege, sab: RawClient) -> None:
    with siege.attack(Caught(siege.receipt, IncidentReason.RECEIPT_WRONG_SIGNER, queue="notices.MOF")):
        assert all_taken(sab.publish(SAB, NOTICE, siege.receipt))


# Quantity


def test_a_thousand_messages_of_garbage_stop_no_letter_and_copies_take_no_room(siege: Siege, sab: RawClient) -> None:
    chance = random.Random(1)  # noqa: S311 - the same garbage every time
    bodies = {chance.randbytes(chance.randrange(1, 4096)).replace(b"\n", b".") for _ in range(400)}
    malformed = IncidentReason.TOKEN_MALFORMED
    with siege.attack(
        *(Caught(body, malformed) for body in bodies),
        *(Caught(body, malformed, queue="notices.MOF") for body in bodies),
        Caught(b"again and again", malformed, copies=200),
    ):
        for number, body in enumerate(bodies):
            assert all_taken(
                sab.publish(SAB, ROUTINE, body),
                sab.publish(SAB, NOTICE, body),
                *(sab.publish(SAB, ROUTINE, b"again and again") for _ in range(200 // len(bodies) or number % 2)),
            )
            if number % 100 == 0:
                siege.healthy()


def test_of_a_message_of_one_mebibyte_the_beginning_is_kept(siege: Siege, sab: RawClient) -> None:
    large = {key: secrets.token_bytes(64).hex().encode() * (LARGEST_MESSAGE // 128) for key in (ROUTINE, NOTICE)}
    with siege.attack(
        Caught(large[ROUTINE], IncidentReason.TOKEN_TOO_LARGE),
        Caught(large[NOTICE], IncidentReason.TOKEN_TOO_LARGE, queue="notices.MOF"),
    ):
        assert all_taken(*(sab.publish(SAB, key, body) for key, body in large.items()))


def test_a_signed_letter_that_is_costly_to_judge_is_answered_and_holds_up_nobody(siege: Siege, sab: RawClient) -> None:
    number = uuid7(int(time.time() * 1000), secrets.token_bytes(10))
    full = json.dumps(claims_of(siege.genuine) | {"sender": {"agency": "SAB"}, "id": number}, ensure_ascii=False)
    letters = {
        siege.sign(full.replace("صيانة", "\u0651\u064e" * 50_000, 1).encode()): NonDeliveryReason.PAYLOAD_MALFORMED,
        siege.letter(recipients=[{}] * 60_000): NonDeliveryReason.SCHEMA_INVALID,
        siege.letter(extra=[[]] * 80_000): None,
    }
    with siege.attack(
        *(Caught(letter, reason) for letter, reason in letters.items() if reason),
        answered=[Answered(letter, reason) for letter, reason in letters.items()],
    ):
        assert all_taken(*(sab.publish(SAB, ROUTINE, letter) for letter in letters))
