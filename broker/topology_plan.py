"""The differences between the topology that should be and the one that is, as a list of changes. Pure."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from broker.first_account import TOPOLOGY_USER
from broker.topology import AGENCY_CODE, AUDIT_USER, LOG_USER, Binding, Queue, QueueType, Topology
from broker.topology_actual import Actual, FoundQueue

GUEST = "guest"


class ChangeKind(StrEnum):
    """What a change is about."""

    VHOST = "vhost"
    EXCHANGE = "exchange"
    QUEUE = "queue"
    BINDING = "binding"
    POLICY = "policy"
    USER = "user"
    PERMISSION = "permission"
    TOPIC_PERMISSION = "topic_permission"
    LIMIT = "limit"
    PARAMETER = "parameter"
    REPLICAS = "replicas"


class ChangeAction(StrEnum):
    """What is to be done.

    ``replace`` deletes and makes anew, for what cannot be altered. ``by_hand`` is nothing that the management
    interface of every release can do; the detail says what to run.
    """

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        key: the thing's name; for bindings source, destination and routing key.
        detail: what differs, in a few words.
        messages: of a queue to be deleted or replaced: what it is known to hold.
        raw: of a binding: its coordinates at the management interface.
    """

    action: ChangeAction
    kind: ChangeKind
    key: tuple[str, ...]
    detail: str = ""
    messages: int = 0
    raw: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        shown: dict[str, object] = {
            "action": self.action,
            "kind": self.kind,
            "name": " ".join(self.key),
            "detail": self.detail,
        }
        return shown | ({"messages": self.messages} if self.messages else {})


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def _differences(
    kind: ChangeKind,
    wanted: Mapping[_K, _V],
    found: Mapping[_K, _V],
    *,
    key: Callable[[_K], tuple[str, ...]],
    unwanted: Callable[[_K], bool] = lambda _: True,
) -> Iterable[Change]:
    for name, value in wanted.items():
        if name not in found:
            yield Change(ChangeAction.CREATE, kind, key(name))
        elif found[name] != value:
            yield Change(ChangeAction.UPDATE, kind, key(name), f"is {found[name]}")
    for name in found:
        if name not in wanted and unwanted(name):
            yield Change(ChangeAction.DELETE, kind, key(name), "not in the plan")


def plan(topology: Topology, actual: Actual) -> list[Change]:
    """All changes that make ``actual`` the same as ``topology``; empty when nothing is to be done.

    Accounts that are neither an agency's nor the plan's are left alone, unless they have rights in the vhost;
    the account that applies the plan is always left alone; ``guest`` never stays.
    """
    changes: list[Change] = []
    if not actual.vhost_exists:
        changes.append(Change(ChangeAction.CREATE, ChangeKind.VHOST, (topology.vhost,)))
    changes += _users(topology, actual)
    changes += _differences(ChangeKind.POLICY, topology.policies, actual.policies, key=_single)
    changes += _exchanges(topology, actual)
    changes += _queues(topology, actual)
    changes += _bindings(topology, actual)
    for parameter in sorted(actual.parameters):
        changes.append(Change(ChangeAction.DELETE, ChangeKind.PARAMETER, parameter, "not in the plan"))
    return changes


def _single(name: str) -> tuple[str, ...]:
    return (name,)


def _users(topology: Topology, actual: Actual) -> Iterable[Change]:
    ours = {AUDIT_USER, LOG_USER, GUEST}

    def stray(name: str) -> bool:
        return name in ours or AGENCY_CODE.fullmatch(name) is not None

    yield from _differences(ChangeKind.USER, topology.users, actual.users, key=_single, unwanted=stray)

    def not_ours(name: str) -> bool:
        return name != TOPOLOGY_USER

    yield from _differences(
        ChangeKind.PERMISSION, topology.permissions, actual.permissions, key=_single, unwanted=not_ours
    )
    for user, vhost in sorted(actual.foreign_permissions):
        if user in topology.users:
            yield Change(ChangeAction.DELETE, ChangeKind.PERMISSION, (user, vhost), "in another vhost")
    yield from _differences(
        ChangeKind.TOPIC_PERMISSION,
        topology.topic_permissions,
        actual.topic_permissions,
        key=lambda pair: pair,
    )
    for name, limits in topology.limits.items():
        found = actual.limits.get(name)
        if name in actual.users and found != limits:
            yield Change(ChangeAction.UPDATE, ChangeKind.LIMIT, (name,), f"is {found}")


def _exchanges(topology: Topology, actual: Actual) -> Iterable[Change]:
    for change in _differences(ChangeKind.EXCHANGE, topology.exchanges, actual.exchanges, key=_single):
        # An exchange cannot be altered. It holds no messages.
        altered = change.action is ChangeAction.UPDATE
        yield Change(ChangeAction.REPLACE, change.kind, change.key, change.detail) if altered else change
    for name, fault in actual.exchange_faults.items():
        if name in topology.exchanges and actual.exchanges.get(name) == topology.exchanges[name]:
            yield Change(ChangeAction.REPLACE, ChangeKind.EXCHANGE, (name,), fault)


# How many replicas a queue starts with is said when it is declared and means nothing afterwards.
_START_ARGUMENTS = {"x-quorum-initial-group-size", "x-initial-cluster-size"}


def declared_arguments(queue: Queue) -> dict[str, object]:
    """What cannot be a policy."""
    size = "x-initial-cluster-size" if queue.type is QueueType.STREAM else "x-quorum-initial-group-size"
    return {"x-queue-type": str(queue.type), size: queue.replicas}


def _queue_fault(queue: Queue, found: FoundQueue) -> str:
    if found.type != queue.type:
        return f"type is {found.type}"
    if not found.durable:
        return "not durable"
    odd = {name for name in found.arguments if name not in _START_ARGUMENTS} - {"x-queue-type"}
    return f"arguments {sorted(odd)}" if odd else ""


def _queues(topology: Topology, actual: Actual) -> Iterable[Change]:
    for name, queue in topology.queues.items():
        found = actual.queues.get(name)
        if found is None:
            yield Change(ChangeAction.CREATE, ChangeKind.QUEUE, (name,))
        elif fault := _queue_fault(queue, found):
            yield Change(ChangeAction.REPLACE, ChangeKind.QUEUE, (name,), fault, found.messages)
        elif found.members is not None and found.members < queue.replicas:
            detail = f"{found.members} of {queue.replicas}: run `rabbitmq-queues grow NODE all` on the broker"
            yield Change(ChangeAction.BY_HAND, ChangeKind.REPLICAS, (name,), detail)
    for name, found in actual.queues.items():
        if name not in topology.queues:
            yield Change(ChangeAction.DELETE, ChangeKind.QUEUE, (name,), "not in the plan", messages=found.messages)


def _bindings(topology: Topology, actual: Actual) -> Iterable[Change]:
    def change(action: ChangeAction, binding: Binding, detail: str = "") -> Change:
        return Change(action, ChangeKind.BINDING, (binding.source, binding.destination, binding.routing_key), detail)

    for binding in sorted(topology.bindings - actual.bindings, key=str):
        yield change(ChangeAction.CREATE, binding)
    for binding in sorted(actual.bindings - topology.bindings, key=str):
        yield change(ChangeAction.DELETE, binding, "not in the plan")
    for entry in actual.odd_bindings:
        key = (str(entry["source"]), str(entry["destination"]), str(entry["routing_key"]))
        yield Change(ChangeAction.DELETE, ChangeKind.BINDING, key, "has arguments", raw=entry)
