"""The AsyncAPI 3.0 document: channels, operations and messages of the backbone, as an agency sees them."""

from typing import Any

_AGENCY = {"description": "Code of an agency, two to eight capital letters."}
_LANE = {
    "description": "ROUTINE letters and circulars: routine; all others: urgent.",
    "enum": ["routine", "urgent"],
}
_COMPACT_JWS = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"}
_OWN_EXCHANGE = {
    "name": "from.{sender}",
    "type": "topic",
    "durable": True,
    "autoDelete": False,
    "vhost": "tarasul",
}


def asyncapi_document() -> dict[str, Any]:
    """The document, ready to be written as JSON."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tarasul",
            "version": "1",
            "description": (
                "Signed correspondence between agencies over one RabbitMQ. An agency writes to its own "
                "exchange and reads its own queues. Every body is a compact JWS or lines of them; x-claims "
                "names the JSON Schema of what is signed."
            ),
        },
        "defaultContentType": "application/jose",
        "channels": {
            "letters": _publishing("{recipient}.{lane}", "letter", {"recipient": _AGENCY, "lane": _LANE}),
            "notices": _publishing("{recipient}.notice", "receipts", {"recipient": _AGENCY}),
            "deadLetters": _publishing("dead-letter", "deadLetter", {}),
            "inbox": _queue("inbox.{agency}.{lane}", "letter", {"agency": _AGENCY, "lane": _LANE}),
            "receivedNotices": _queue("notices.{agency}", "receipts", {"agency": _AGENCY}),
            "orders": _queue("orders.{agency}", "incidentNotice", {"agency": _AGENCY}),
        },
        "operations": {
            "sendLetter": _operation("send", "letters", "letter", "Once for each recipient; confirmed and journalled."),
            "receiveLetter": _operation(
                "receive", "inbox", "letter", "Acknowledged after the letter and its receipt are committed."
            ),
            "sendReceipts": _operation("send", "notices", "receipts", "Signed one by one, sent in batches."),
            "receiveReceipts": _operation(
                "receive", "receivedNotices", "receipts", "Judged by signature and role alone."
            ),
            "receiveIncidentNotice": _operation(
                "receive", "orders", "incidentNotice", "From the authority alone: kept and shown, answered to nobody."
            ),
            "sendDeadLetter": _operation("send", "deadLetters", "deadLetter", "What the adapter gave up on."),
        },
        "components": {
            "messages": {
                "letter": {
                    "name": "letter",
                    "title": "A letter",
                    "contentType": "application/jose",
                    "payload": {**_COMPACT_JWS, "maxLength": 358_400},
                    "x-jws-type": "tarasul-letter+jws",
                    "x-claims": "letter.schema.json",
                },
                "receipts": {
                    "name": "receipts",
                    "title": "Receipts, one token a line",
                    "contentType": "application/vnd.tarasul.receipts",
                    "payload": {"type": "string"},
                    "x-jws-type": "secevent+jwt",
                    "x-claims": "receipt.schema.json",
                },
                "incidentNotice": {
                    "name": "incidentNotice",
                    "title": "Something came through this agency's account that is not authentic",
                    "contentType": "application/jose",
                    "payload": {**_COMPACT_JWS, "maxLength": 28_672},
                    "x-jws-type": "tarasul-incident+jws",
                    "x-claims": "incident-notice.schema.json",
                },
                "deadLetter": {
                    "name": "deadLetter",
                    "title": "A message that could not be accepted, byte for byte, with a signed statement",
                    "contentType": "application/octet-stream",
                    "headers": {
                        "type": "object",
                        "required": ["statement"],
                        "properties": {"statement": _COMPACT_JWS},
                    },
                    "payload": {"type": "string"},
                    "x-jws-type": "tarasul-dead-letter+jws",
                    "x-claims": "dead-letter-statement.schema.json",
                },
            }
        },
    }


def _publishing(address: str, message: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return _channel(address, message, parameters, {"is": "routingKey", "exchange": _OWN_EXCHANGE})


def _queue(address: str, message: str, parameters: dict[str, Any]) -> dict[str, Any]:
    queue = {"name": address, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "tarasul"}
    return _channel(address, message, parameters, {"is": "queue", "queue": queue})


def _channel(address: str, message: str, parameters: dict[str, Any], binding: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        **({"parameters": parameters} if parameters else {}),
        "bindings": {"amqp": {**binding, "bindingVersion": "0.3.0"}},
    }


def _operation(action: str, channel: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }
