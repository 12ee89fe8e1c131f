"""Making a broker the same as the plan: what is missing in one import, what is too much one by one.

Nothing here deletes a queue that holds a message. A second run finds nothing to do; what one that was killed has left,
the next one finishes.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from broker.management import Management, path
from broker.topology import NOTHING, Binding, Topology
from broker.topology_actual import read_actual
from broker.topology_plan import Change, ChangeAction, ChangeKind, declared_arguments, plan
from broker.versions import BrokerVersion
from schemas.errors import ErrorCode, Refused

IMPORT_SECONDS = 120.0
STATISTICS_SECONDS = 11.0
"""What the broker says of a queue's consumers is up to 5 s old, of its messages up to 10 s (sampled at both ends)."""

_MADE_BY_IMPORT = {ChangeAction.CREATE, ChangeAction.UPDATE, ChangeAction.REPLACE}


@dataclass(frozen=True, slots=True)
class Applied:
    """What :func:`apply` did.

    Attributes:
        done: changes made.
        left: differences that remain, with their reasons.
        refusals: why queues were not deleted: ``queue_not_empty``.
    """

    done: tuple[Change, ...]
    left: tuple[Change, ...]
    refusals: tuple[Refused, ...]


def check(management: Management, topology: Topology) -> list[Change]:
    """The differences between ``topology`` and the broker.

    Raises:
        Refused: ``broker_unreachable``, ``broker_refused``.
    """
    return plan(topology, read_actual(management, topology.vhost))


def apply(management: Management, topology: Topology) -> Applied:
    """Make the broker the same as ``topology``.

    Revoked permissions alone leave open consumers and busy publishers running. So an account whose rights differ gets
    a permission for nothing, then its connections are closed, and only with the very last step it gets its rights:
    until then the difference shows, and whatever this run dies of, the next one closes the connections again. Who is
    honest connects again.

    In between, an account that goes away is deleted, and the broker closes its connections; then go bindings,
    exchanges and empty queues that are wrong (:data:`STATISTICS_SECONDS` later, when there are any); then one import
    makes all that is missing, and another one the permissions.

    Raises:
        Refused: ``broker_unreachable``, ``broker_refused``.
    """
    changes = check(management, topology)
    if not changes:
        return Applied((), (), ())
    version = management.version()
    shut = _shut(management, topology, changes)
    refusals: list[Refused] = []
    removals = [change for change in changes if change.action in {ChangeAction.DELETE, ChangeAction.REPLACE}]
    waited = False
    for change in sorted(removals, key=_removal_order):
        if change.kind is ChangeKind.QUEUE and not waited:
            # No answer of the interface is younger: a consumer of a moment ago that holds a queue's only message
            # shows in none of them, and the message would go with the queue. A queue that has just been emptied
            # would be left as one that is not.
            time.sleep(STATISTICS_SECONDS)
            waited = True
        refused = _remove(management, topology, change)
        refusals += [refused] if refused is not None else []
    definitions = _definitions(topology, changes, version)
    if definitions:
        management.post("/api/definitions", definitions, seconds=IMPORT_SECONDS)
    permissions = _permissions(topology, shut | {change.key[0] for change in changes if _is_made(change)})
    if permissions:
        management.post("/api/definitions", {"permissions": permissions}, seconds=IMPORT_SECONDS)
    left = check(management, topology)
    done = tuple(change for change in changes if not any(_same_thing(change, other) for other in left))
    return Applied(done, tuple(left), tuple(refusals))


def _same_thing(one: Change, other: Change) -> bool:
    return (one.kind, one.key) == (other.kind, other.key)


_REMOVAL_ORDER = (
    ChangeKind.USER,
    ChangeKind.PERMISSION,
    ChangeKind.TOPIC_PERMISSION,
    ChangeKind.BINDING,
    ChangeKind.QUEUE,
    ChangeKind.EXCHANGE,
    ChangeKind.POLICY,
)


def _removal_order(change: Change) -> int:
    return _REMOVAL_ORDER.index(change.kind) if change.kind in _REMOVAL_ORDER else len(_REMOVAL_ORDER)


def _remove(management: Management, topology: Topology, change: Change) -> Refused | None:
    vhost = topology.vhost
    match change.kind:
        case ChangeKind.USER:
            # The broker closes the connections of an account that is deleted.
            management.delete(path("users", change.key[0]))
        case ChangeKind.PERMISSION:
            where = change.key[1] if len(change.key) > 1 else vhost
            management.delete(path("permissions", where, change.key[0]))
        case ChangeKind.TOPIC_PERMISSION:
            _remove_topic_permission(management, topology, *change.key)
        case ChangeKind.BINDING:
            _remove_binding(management, topology, change)
        case ChangeKind.EXCHANGE:
            management.delete(path("exchanges", vhost, change.key[0]))
        case ChangeKind.POLICY:
            management.delete(path("policies", vhost, change.key[0]))
        case ChangeKind.PARAMETER:
            component, name = change.key
            management.delete(path("parameters", component, vhost, name))
        case ChangeKind.QUEUE:
            return _remove_queue(management, vhost, change)
        case _:
            pass
    return None


def _shut(management: Management, topology: Topology, changes: Sequence[Change]) -> set[str]:
    """Take their rights from accounts that may have wider ones, and close their connections; returns the accounts.

    Not of those that are made or deleted in this run: they have no connections, or lose them with the account. A
    permission for nothing stands in place of each that differs: a deleted one might show as no difference any more.
    """
    accounts = {change.key[0] for change in changes if change.kind is ChangeKind.USER and _comes_or_goes(change)}
    in_new_vhost = any(change.kind is ChangeKind.VHOST for change in changes)
    places: set[tuple[str, str]] = set()
    users: set[str] = set()
    for change in changes:
        user = change.key[0]
        if change.kind not in {ChangeKind.PERMISSION, ChangeKind.TOPIC_PERMISSION} or user in accounts:
            continue
        users.add(user)
        foreign = change.kind is ChangeKind.PERMISSION and len(change.key) > 1
        if foreign:
            places.add((user, change.key[1]))
        elif not in_new_vhost and (change.kind is ChangeKind.PERMISSION or user in topology.permissions):
            places.add((user, topology.vhost))
    for user, vhost in sorted(places):
        nothing = {"configure": NOTHING, "write": NOTHING, "read": NOTHING}
        management.put(path("permissions", vhost, user), nothing)
    for user in sorted(users):
        # By the user's name: the list of connections does not have the youngest yet.
        management.delete(path("connections", "username", user))
    return users


def _comes_or_goes(change: Change) -> bool:
    return change.action in {ChangeAction.CREATE, ChangeAction.DELETE}


def _remove_topic_permission(management: Management, topology: Topology, user: str, exchange: str) -> None:
    where = path("topic-permissions", topology.vhost, user)
    # The interface deletes all topic permissions of a user at once; the rest is put back.
    management.delete(where)
    for (owner, other), permission in topology.topic_permissions.items():
        if owner == user and other != exchange:
            management.put(where, {"exchange": other, "write": permission.write, "read": permission.read})


def _remove_binding(management: Management, topology: Topology, change: Change) -> None:
    source, destination, routing_key = change.key
    vhost = topology.vhost
    for kind in ("q", "e"):
        for entry in management.get(path("bindings", vhost, "e", source, kind, destination)) or []:
            wanted = not entry.get("arguments") and Binding(source, destination, kind == "e", routing_key) in (
                topology.bindings
            )
            if entry["routing_key"] == routing_key and not wanted:
                management.delete(path("bindings", vhost, "e", source, kind, destination, entry["properties_key"]))


def _remove_queue(management: Management, vhost: str, change: Change) -> Refused | None:
    """Delete a queue if nothing is in it: by the statistics, by its consumers, and by looking."""
    name = change.key[0]
    where = path("queues", vhost, name)
    found = management.get(where)
    if found is None:
        return None
    messages = int(found.get("messages") or 0)
    if not messages and (_is_consumed(management, vhost, name) or found.get("type") == "stream"):
        # A consumer may hold what the statistics do not show yet; a stream cannot be looked into this way.
        return _not_empty(name, "?")
    if not messages:
        seen = management.post(
            f"{where}/get",
            {"count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1},
        )
        messages = len(seen or ()) + sum(int(entry.get("message_count") or 0) for entry in seen or ())
    if messages:
        return _not_empty(name, messages)
    management.delete(where)
    return None


def _is_consumed(management: Management, vhost: str, name: str) -> bool:
    # A queue's own count of them lags behind this list in both directions.
    consumers = management.get(path("consumers", vhost)) or []
    return any(consumer["queue"]["name"] == name for consumer in consumers)


def _not_empty(name: str, messages: int | str) -> Refused:
    return Refused(ErrorCode.QUEUE_NOT_EMPTY, queue=name, messages=messages)


def _definitions(topology: Topology, changes: Iterable[Change], version: BrokerVersion) -> dict[str, Any]:
    """The part of the topology that ``changes`` create, but permissions, in the form of the broker's import."""
    wanted = {(change.kind, change.key) for change in changes if change.action in _MADE_BY_IMPORT}
    vhost = topology.vhost

    def changed(kind: ChangeKind, *key: str) -> bool:
        return (kind, key) in wanted

    replaced = {change.key[0] for change in changes if change.action is ChangeAction.REPLACE}
    users = {
        key[0] for kind, key in wanted if kind in {ChangeKind.USER, ChangeKind.LIMIT}
    }  # limits travel with the account
    content: dict[str, list[Mapping[str, Any]]] = {
        "vhosts": [{"name": vhost} | version.vhost_metadata()] if changed(ChangeKind.VHOST, vhost) else [],
        "users": [
            {
                "name": name,
                "password_hash": "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ",".join(user.tags),
                "limits": _limits(topology, name),
            }
            for name, user in topology.users.items()
            if name in users
        ],
        "topic_permissions": [
            {
                "user": user,
                "vhost": vhost,
                "exchange": exchange,
                "write": permission.write,
                "read": permission.read,
            }
            for (user, exchange), permission in topology.topic_permissions.items()
            if changed(ChangeKind.TOPIC_PERMISSION, user, exchange)
        ],
        "policies": [
            {
                "vhost": vhost,
                "name": name,
                "pattern": policy.pattern,
                "apply-to": policy.apply_to,
                "definition": dict(policy.definition),
                "priority": policy.priority,
            }
            for name, policy in topology.policies.items()
            if changed(ChangeKind.POLICY, name)
        ],
        "exchanges": [
            {
                "vhost": vhost,
                "name": name,
                "type": exchange.type,
                "internal": exchange.internal,
                "durable": True,
                "auto_delete": False,
                "arguments": {},
            }
            for name, exchange in topology.exchanges.items()
            if changed(ChangeKind.EXCHANGE, name)
        ],
        "queues": [
            {
                "vhost": vhost,
                "name": name,
                "durable": True,
                "auto_delete": False,
                "arguments": declared_arguments(queue),
            }
            for name, queue in topology.queues.items()
            if changed(ChangeKind.QUEUE, name)
        ],
        "bindings": [
            {
                "vhost": vhost,
                "source": binding.source,
                "destination": binding.destination,
                "destination_type": "exchange" if binding.to_exchange else "queue",
                "routing_key": binding.routing_key,
                "arguments": {},
            }
            for binding in sorted(topology.bindings, key=str)
            # What is replaced takes its bindings with it.
            if changed(ChangeKind.BINDING, binding.source, binding.destination, binding.routing_key)
            or binding.source in replaced
            or binding.destination in replaced
        ],
    }
    return {kind: entries for kind, entries in content.items() if entries}


def _is_made(change: Change) -> bool:
    return change.kind is ChangeKind.PERMISSION and change.action in _MADE_BY_IMPORT


def _permissions(topology: Topology, users: AbstractSet[str]) -> list[Mapping[str, Any]]:
    """What ``users`` may do, in the form of the broker's import; those that the plan does not have get nothing."""
    return [
        {
            "user": name,
            "vhost": topology.vhost,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }
        for name, permission in topology.permissions.items()
        if name in users
    ]


def _limits(topology: Topology, user: str) -> dict[str, int]:
    limits = topology.limits.get(user)
    if limits is None:
        return {}
    given = {"max-connections": limits.connections, "max-channels": limits.channels}
    return {name: value for name, value in given.items() if value is not None}
