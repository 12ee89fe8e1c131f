"""The AsyncAPI document, judged by the official schema and compared with what the product does."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agency_adapter.quarantine import DeadLetterOutbox
from agency_adapter.receipts import CONTENT_TYPE
from broker import names
from broker.topology import TRIAL_SIZES, build_topology
from gateway.answers import INCIDENT_TYPE
from schemas.envelope import Lane
from schemas.publication import FOLDER
from trust.token import LIMITS, TokenType

DOCUMENT: dict[str, Any] = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
OFFICIAL = Path(__file__).parent / "data" / "asyncapi-3.0.0.schema.json"


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    schema = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_the_document_is_asyncapi_3(official: jsonschema.Draft7Validator) -> None:
    assert [error.message for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(asyncapi="2.6.0"),
        lambda document: document["info"].pop("version"),
        lambda document: document["operations"]["sendLetter"].update(action="shout"),
        lambda document: document["operations"]["sendLetter"].pop("channel"),
        lambda document: document["channels"]["letters"].update(surprise=1),
        lambda document: document["channels"]["letters"]["bindings"]["amqp"]["exchange"].update(type="star"),
        lambda document: document["components"]["messages"]["letter"]["payload"].update(maxLength="long"),
    ],
    ids=["version", "no info", "action", "no channel", "unknown member", "AMQP binding", "payload"],
)
def test_the_official_schema_finds_what_is_spoilt(
    official: jsonschema.Draft7Validator, spoil: Callable[[dict[str, Any]], object]
) -> None:
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    assert not official.is_valid(document)


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for inner in value.values() for found in _references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _references(inner)]
    return []


def test_every_reference_leads_somewhere() -> None:
    references = _references(DOCUMENT)
    assert references
    for reference in references:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place, reference


def test_every_message_names_a_published_schema_and_a_token_type() -> None:
    messages = DOCUMENT["components"]["messages"]
    for message in messages.values():
        assert (FOLDER / message["x-claims"]).is_file()
        assert TokenType(message["x-jws-type"])
    assert messages["letter"]["payload"]["maxLength"] == LIMITS[TokenType.LETTER].token
    assert messages["receipts"]["contentType"] == CONTENT_TYPE
    assert messages["incidentNotice"]["payload"]["maxLength"] == LIMITS[TokenType.INCIDENT].token
    assert messages["incidentNotice"]["contentType"] == INCIDENT_TYPE
    assert DeadLetterOutbox.most_per_message == 1
    assert messages["deadLetter"]["headers"]["required"] == ["statement"]


def test_an_agency_finds_every_queue_that_it_may_read() -> None:
    queues = [
        channel["address"].format(agency="MOF", lane=lane)
        for channel in DOCUMENT["channels"].values()
        if channel["bindings"]["amqp"]["is"] == "queue"
        for lane in Lane
    ]
    topology = build_topology(["MOF"], TRIAL_SIZES)
    readable = [name for name in topology.queues if re.search(topology.permissions["MOF"].read, name)]
    assert sorted(set(queues)) == sorted(readable)
    received = [each for each in DOCUMENT["operations"].values() if each["action"] == "receive"]
    assert len({each["channel"]["$ref"] for each in received}) == len(received) == len(set(queues)) - 1


def test_the_addresses_are_those_of_the_broker() -> None:
    channels = DOCUMENT["channels"]
    fill = {"recipient": "MOF", "agency": "MOF", "sender": "MPW"}
    for lane in Lane:
        assert channels["letters"]["address"].format(**fill, lane=lane) == names.letter_routing_key("MOF", lane)
        assert channels["inbox"]["address"].format(**fill, lane=lane) == names.inbox_queue("MOF", lane)
    assert channels["letters"]["parameters"]["lane"]["enum"] == list(Lane)
    assert channels["notices"]["address"].format(**fill) == names.notice_routing_key("MOF")
    assert channels["receivedNotices"]["address"].format(**fill) == names.notices_queue("MOF")
    assert channels["orders"]["address"].format(**fill) == names.orders_queue("MOF")
    assert channels["deadLetters"]["address"] == names.DEAD_LETTER_ROUTING_KEY
    for name in ("letters", "notices", "deadLetters"):
        exchange = channels[name]["bindings"]["amqp"]["exchange"]
        assert exchange["name"].format(**fill) == names.from_exchange("MPW")
