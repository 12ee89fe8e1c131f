"""What a broker has: its definitions, read back into the words of :mod:`broker.topology`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker import topology
from broker.management import Management, path
from broker.topology import Binding, Exchange, Limits, Permission, Policy, TopicPermission, User


@dataclass(frozen=True, slots=True)
class FoundQueue:
    """A queue of the broker.

    Attributes:
        arguments: as declared.
        messages: ready and unacknowledged, by the broker's statistics (up to 5 s old).
        consumers: how many read it.
        members: on how many nodes it is kept; None when the broker does not say.
    """

    name: str
    type: str
    durable: bool
    arguments: Mapping[str, Any]
    messages: int
    consumers: int
    members: int | None


@dataclass(frozen=True, slots=True)
class Actual:
    """All of one vhost, and every account of the broker.

    Attributes:
        parameters: component and name of what may overrule the plan: operators' policies, limits of the vhost.
    """

    vhost_exists: bool
    exchanges: Mapping[str, Exchange]
    exchange_faults: Mapping[str, str]
    queues: Mapping[str, FoundQueue]
    bindings: frozenset[Binding]
    odd_bindings: tuple[Mapping[str, Any], ...]
    policies: Mapping[str, Policy]
    users: Mapping[str, User]
    permissions: Mapping[str, Permission]
    foreign_permissions: frozenset[tuple[str, str]]
    topic_permissions: Mapping[tuple[str, str], TopicPermission]
    limits: Mapping[str, Limits]
    parameters: frozenset[tuple[str, str]]


def read_actual(management: Management, vhost: str) -> Actual:
    """Read everything in three requests.

    Raises:
        Refused: ``broker_unreachable`` or ``broker_refused``.
    """
    definitions = management.get("/api/definitions") or {}
    exists = any(entry["name"] == vhost for entry in definitions.get("vhosts", ()))
    # The export leaves out counts, and on some releases objects that the broker made itself; the lists do
    # not.
    queues = (management.get(path("queues", vhost)) if exists else None) or []
    exchanges = (management.get(path("exchanges", vhost)) if exists else None) or []
    return parse_actual(definitions, queues, exchanges, vhost)


def parse_actual(
    definitions: Mapping[str, Any],
    queues: list[Mapping[str, Any]],
    exchanges: list[Mapping[str, Any]],
    vhost: str,
) -> Actual:
    """From the management interface's JSON; pure."""

    def here(kind: str) -> list[Mapping[str, Any]]:
        return [entry for entry in definitions.get(kind, ()) if entry.get("vhost") == vhost]

    own = [e for e in exchanges if e["name"] and not e["name"].startswith("amq.")]
    return Actual(
        vhost_exists=any(entry["name"] == vhost for entry in definitions.get("vhosts", ())),
        exchanges={e["name"]: Exchange(e["name"], e["type"], bool(e["internal"])) for e in own},
        exchange_faults={e["name"]: fault for e in own if (fault := _exchange_fault(e))},
        queues={entry["name"]: _queue(entry) for entry in queues},
        bindings=frozenset(_binding(entry) for entry in here("bindings") if not entry.get("arguments")),
        odd_bindings=tuple(entry for entry in here("bindings") if entry.get("arguments")),
        policies={entry["name"]: _policy(entry) for entry in here("policies")},
        users={entry["name"]: _user(entry) for entry in definitions.get("users", ())},
        permissions={
            entry["user"]: Permission(entry["user"], entry["configure"], entry["write"], entry["read"])
            for entry in here("permissions")
        },
        foreign_permissions=frozenset(
            (entry["user"], entry["vhost"]) for entry in definitions.get("permissions", ()) if entry["vhost"] != vhost
        ),
        topic_permissions={
            (entry["user"], entry["exchange"]): TopicPermission(
                entry["user"], entry["exchange"], entry["write"], entry["read"]
            )
            for entry in here("topic_permissions")
        },
        limits={entry["name"]: _limits(entry) for entry in definitions.get("users", ())},
        parameters=frozenset((entry["component"], entry["name"]) for entry in here("parameters")),
    )


def _exchange_fault(entry: Mapping[str, Any]) -> str:
    faults = []
    if not entry.get("durable", True):
        faults.append("not durable")
    if entry.get("auto_delete"):
        faults.append("auto-delete")
    if entry.get("arguments"):
        faults.append(f"arguments {sorted(entry['arguments'])}")
    return ", ".join(faults)


def _queue(entry: Mapping[str, Any]) -> FoundQueue:
    members = entry.get("members")
    return FoundQueue(
        name=entry["name"],
        type=str(entry.get("type") or entry.get("arguments", {}).get("x-queue-type", "classic")),
        durable=bool(entry.get("durable", True)),
        arguments=dict(entry.get("arguments", {})),
        messages=int(entry.get("messages") or 0),
        consumers=int(entry.get("consumers") or 0),
        members=len(members) if isinstance(members, list) else None,
    )


def _binding(entry: Mapping[str, Any]) -> Binding:
    return Binding(entry["source"], entry["destination"], entry["destination_type"] == "exchange", entry["routing_key"])


def _policy(entry: Mapping[str, Any]) -> Policy:
    return Policy(
        entry["name"],
        entry["pattern"],
        entry["apply-to"],
        dict(entry["definition"]),
        entry.get("priority", 0),
    )


def _user(entry: Mapping[str, Any]) -> User:
    tags = entry.get("tags") or ()
    if isinstance(tags, str):
        tags = [tag.strip() for tag in tags.split(",") if tag.strip()]
    return User(entry["name"], tuple(sorted(tags)), bool(entry.get("password_hash")))


def _limits(entry: Mapping[str, Any]) -> topology.Limits:
    limits = entry.get("limits") or {}
    return Limits(entry["name"], limits.get("max-connections"), limits.get("max-channels"))
