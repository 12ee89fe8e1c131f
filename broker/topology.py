"""Who may say what to whom, and where it waits: every exchange, queue, policy, account and limit.

Pure: a list of agency codes and sizes in, a :class:`Topology` out. :mod:`broker.topology_apply` compares it
with a broker and makes the broker so.

The wall is ``from.X``: only agency X's account can write to it, and the broker reports that name with each
delivery. Whatever can be a policy is a policy and not an argument of a queue, since a policy can be changed
on a queue that holds messages.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from broker import names
from schemas.envelope import Lane
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY, ECHO

MIB = 1024 * 1024
GIB = 1024 * MIB
DELIVERY_LIMIT = 1000
LARGEST_SHARE_OF_DISK = 0.6
LOGS_OF_WAL = 4
MAX_CONNECTIONS = 4
MAX_CHANNELS = 16
CODE = "[A-Z]{2,8}"
AGENCY_CODE = re.compile(rf"^{CODE}$")
AUDIT_USER = "tarasul-audit"
LOG_USER = "tarasul-log"
NOTHING = "^$"
TICK_ROUTING_KEY = "tick"


class QueueType(StrEnum):
    """Types of queue in use."""

    QUORUM = "quorum"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Limits in bytes. Together with the write-ahead log they must fit into 60 % of the node's disk."""

    urgent: int
    routine: int
    notices: int
    orders: int
    own_dead_letters: int
    dead_letters: int
    expired_dead_letters: int
    journal: int
    journal_segment: int
    wal: int

    def of_one_agency(self) -> int:
        """All queues of one agency."""
        return self.urgent + self.routine + self.notices + self.orders + self.own_dead_letters

    def needed(self, agencies: int) -> int:
        """Σ of limits + stream + 4 × write-ahead log; a stream is cut by whole segments: one may be over."""
        return (
            agencies * self.of_one_agency()
            + self.dead_letters
            + self.expired_dead_letters
            + self.journal
            + self.journal_segment
            + LOGS_OF_WAL * self.wal
        )


PRODUCTION_SIZES = Sizes(
    urgent=128 * MIB,
    routine=1 * GIB,
    notices=256 * MIB,
    orders=128 * MIB,
    own_dead_letters=128 * MIB,
    dead_letters=4 * GIB,
    expired_dead_letters=1 * GIB,
    journal=100 * GIB,
    journal_segment=500 * MIB,
    wal=512 * MIB,
)
TRIAL_SIZES = Sizes(
    urgent=16 * MIB,
    routine=64 * MIB,
    notices=32 * MIB,
    orders=8 * MIB,
    own_dead_letters=8 * MIB,
    dead_letters=128 * MIB,
    expired_dead_letters=32 * MIB,
    journal=1 * GIB,
    journal_segment=64 * MIB,
    wal=64 * MIB,
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange; ``internal`` ones take nothing from clients."""

    name: str
    type: str
    internal: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue with its explicit type; ``replicas`` is what it starts with."""

    name: str
    type: QueueType
    replicas: int


@dataclass(frozen=True, slots=True)
class Binding:
    """From an exchange to a queue or to another exchange."""

    source: str
    destination: str
    to_exchange: bool
    routing_key: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings for all exchanges or queues whose name matches ``pattern``. Patterns never overlap."""

    name: str
    pattern: str
    apply_to: str
    definition: Mapping[str, int | str]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """An account. Those of the plan have no password: a certificate with their name is the only way in."""

    name: str
    tags: tuple[str, ...] = ()
    has_password: bool = False


@dataclass(frozen=True, slots=True)
class Permission:
    """Regular expressions over names of exchanges and queues."""

    user: str
    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """The second fence: regular expressions over routing keys at one exchange."""

    user: str
    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one user, over all its connections. None: no limit."""

    user: str
    connections: int | None
    channels: int | None


@dataclass(frozen=True, slots=True)
class Topology:
    """All of one vhost, each kind by its key."""

    exchanges: Mapping[str, Exchange]
    queues: Mapping[str, Queue]
    bindings: frozenset[Binding]
    policies: Mapping[str, Policy]
    users: Mapping[str, User]
    permissions: Mapping[str, Permission]
    topic_permissions: Mapping[tuple[str, str], TopicPermission]
    limits: Mapping[str, Limits]
    vhost: str = names.VHOST


@dataclass(frozen=True, slots=True)
class Cluster:
    """The broker's nodes: Erlang names, and on how many of them each queue is kept."""

    nodes: tuple[str, ...] = ("rabbit@localhost",)
    replicas: int = 1


@dataclass(slots=True)
class _Draft:
    replicas: int
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    bindings: set[Binding] = field(default_factory=set)
    users: dict[str, User] = field(default_factory=dict)
    permissions: dict[str, Permission] = field(default_factory=dict)
    topic_permissions: dict[tuple[str, str], TopicPermission] = field(default_factory=dict)
    limits: dict[str, Limits] = field(default_factory=dict)

    def exchange(self, name: str, kind: str, *, internal: bool) -> None:
        self.exchanges[name] = Exchange(name, kind, internal)

    def queue(self, name: str, kind: QueueType = QueueType.QUORUM) -> None:
        self.queues[name] = Queue(name, kind, self.replicas)

    def bind(self, source: str, routing_key: str, *, queue: str = "", exchange: str = "") -> None:
        self.bindings.add(Binding(source, queue or exchange, bool(exchange), routing_key))

    def user(self, name: str, *, write: Sequence[str], read: Sequence[str]) -> None:
        self.users[name] = User(name)
        self.permissions[name] = Permission(name, NOTHING, one_of(write), one_of(read))
        self.limits[name] = Limits(name, MAX_CONNECTIONS, MAX_CHANNELS)

    def topic(self, user: str, exchange: str, write: str) -> None:
        self.topic_permissions[user, exchange] = TopicPermission(user, exchange, write, NOTHING)


def one_of(allowed: Sequence[str]) -> str:
    """An anchored expression for exactly these names, dots escaped (they would match any character)."""
    if not allowed:
        return NOTHING
    choices = [name.replace(".", r"\.") for name in allowed]
    return f"^{choices[0]}$" if len(choices) == 1 else f"^({'|'.join(choices)})$"


def build_topology(agencies: Iterable[str], sizes: Sizes, cluster: Cluster | None = None) -> Topology:
    """Everything that the broker needs for ``agencies``; the authority and the echo agency are added.

    Raises:
        Refused: ``agency_unknown`` for what is not two to eight capital letters.
    """
    codes = sorted({*agencies, AUTHORITY, ECHO})
    for code in codes:
        if AGENCY_CODE.fullmatch(code) is None:
            raise Refused(ErrorCode.AGENCY_UNKNOWN, agency=code)
    draft = _Draft((cluster or Cluster()).replicas)
    _centre(draft)
    for code in codes:
        _agency(draft, code)
    _authority(draft)
    return Topology(
        exchanges=draft.exchanges,
        queues=draft.queues,
        bindings=frozenset(draft.bindings),
        policies={policy.name: policy for policy in _policies(sizes)},
        users=draft.users,
        permissions=draft.permissions,
        topic_permissions=draft.topic_permissions,
        limits=draft.limits,
    )


def check_sizes(agencies: int, sizes: Sizes, disk_bytes: int) -> None:
    """Refuse limits that one absent agency could fill until the disk alarm stops everybody.

    Args:
        agencies: number of participants, the authority and the echo agency included.
        sizes: the limits.
        disk_bytes: size of the disk that holds the broker's data.

    Raises:
        Refused: ``disk_too_small`` with both figures in bytes.
    """
    needed = sizes.needed(agencies)
    allowed = int(disk_bytes * LARGEST_SHARE_OF_DISK)
    if needed > allowed:
        raise Refused(ErrorCode.DISK_TOO_SMALL, needed=needed, allowed=allowed)


LETTERS_AND_NOTICES = ("*.urgent", "*.routine", "*.notice")


def _centre(draft: _Draft) -> None:
    draft.exchange(names.CORRESPONDENCE, "topic", internal=True)
    draft.exchange(names.PROOFS, "topic", internal=False)
    for name in (names.DEAD_LETTER, names.DEAD_LETTER_EXPIRED):
        # Whatever key a message carried when it died, it arrives.
        draft.exchange(name, "fanout", internal=True)
        draft.queue(name)
        draft.bind(name, "", queue=name)
    draft.queue(names.JOURNAL, QueueType.STREAM)


def _agency(draft: _Draft, code: str) -> None:
    own = names.from_exchange(code)
    draft.exchange(own, "topic", internal=False)
    for pattern in LETTERS_AND_NOTICES:
        draft.bind(own, pattern, exchange=names.CORRESPONDENCE)
    gave_up = f"{names.DEAD_LETTER_ROUTING_KEY}.#"
    draft.queue(names.dead_letter_queue(code))
    draft.bind(own, gave_up, queue=names.dead_letter_queue(code))
    journalled = ("#",) if code == AUTHORITY else (*LETTERS_AND_NOTICES, gave_up)
    for pattern in journalled:
        draft.bind(own, pattern, queue=names.JOURNAL)

    for lane in Lane:
        draft.queue(names.inbox_queue(code, lane))
        draft.bind(names.CORRESPONDENCE, names.letter_routing_key(code, lane), queue=names.inbox_queue(code, lane))
    draft.queue(names.notices_queue(code))
    draft.bind(names.CORRESPONDENCE, names.notice_routing_key(code), queue=names.notices_queue(code))
    draft.queue(names.orders_queue(code))
    for source in (names.from_exchange(AUTHORITY), names.PROOFS):
        draft.bind(source, names.order_routing_key(code), queue=names.orders_queue(code))

    read = [names.inbox_queue(code, lane) for lane in Lane]
    draft.user(code, write=[own], read=[*read, names.notices_queue(code), names.orders_queue(code)])
    keys = "urgent|routine|notice" + ("|order" if code == AUTHORITY else "")
    draft.topic(code, own, rf"^({CODE}\.({keys})|{names.DEAD_LETTER_ROUTING_KEY})$")


def _authority(draft: _Draft) -> None:
    """The authority's programs are accounts of their own, so that none can do what another is for."""
    own = names.from_exchange(AUTHORITY)
    draft.user(
        AUDIT_USER,
        write=[own],
        read=[
            names.DEAD_LETTER,
            names.DEAD_LETTER_EXPIRED,
            f"{names.DEAD_LETTER}.{CODE}",
        ],
    )
    draft.topic(AUDIT_USER, own, rf"^({CODE}\.(urgent|routine|notice|order)|{names.READ_MARK_ROUTING_KEY})$")
    draft.user(LOG_USER, write=[own, names.PROOFS], read=[names.JOURNAL])
    draft.topic(LOG_USER, own, rf"^({CODE}\.(notice|order)|{TICK_ROUTING_KEY})$")
    draft.topic(LOG_USER, names.PROOFS, rf"^{CODE}\.order$")


def _policies(sizes: Sizes) -> list[Policy]:
    def queues(name: str, pattern: str, limit: int, target: str = names.DEAD_LETTER) -> Policy:
        return Policy(
            name,
            pattern,
            "queues",
            {
                "overflow": "reject-publish",
                "max-length-bytes": limit,
                "dead-letter-exchange": target,
                "dead-letter-strategy": "at-least-once",
                "delivery-limit": DELIVERY_LIMIT,
            },
        )

    return [
        Policy(
            "unroutable",
            rf"^(from\.{CODE}|{names.CORRESPONDENCE}|{names.PROOFS})$",
            "exchanges",
            {"alternate-exchange": names.DEAD_LETTER},
        ),
        queues("inbox-urgent", rf"^inbox\.{CODE}\.urgent$", sizes.urgent),
        queues("inbox-routine", rf"^inbox\.{CODE}\.routine$", sizes.routine),
        queues("notices", rf"^notices\.{CODE}$", sizes.notices),
        queues("orders", rf"^orders\.{CODE}$", sizes.orders),
        queues("own-dead-letters", rf"^dead-letter\.{CODE}$", sizes.own_dead_letters),
        queues("dead-letters", "^dead-letter$", sizes.dead_letters, names.DEAD_LETTER_EXPIRED),
        # Its target is the first one again: a queue without a target loses what expires in it, and a message
        # that has been in both already stays where it is.
        queues("expired-dead-letters", r"^dead-letter\.expired$", sizes.expired_dead_letters),
        Policy(
            "journal",
            f"^{names.JOURNAL}$",
            "queues",
            {
                "max-length-bytes": sizes.journal,
                "stream-max-segment-size-bytes": sizes.journal_segment,
            },
        ),
    ]
