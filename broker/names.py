"""Names of exchanges, queues and routing keys, in one place so that nobody spells one by hand."""

from schemas.envelope import Lane

VHOST = "tarasul"
CORRESPONDENCE = "correspondence"
JOURNAL = "journal"
DEAD_LETTER = "dead-letter"
DEAD_LETTER_EXPIRED = "dead-letter.expired"
PROOFS = "proofs"
DEAD_LETTER_ROUTING_KEY = "dead-letter"
READ_MARK_ROUTING_KEY = "read-mark"


def from_exchange(code: str) -> str:
    """The exchange that only agency ``code`` may write to: its identity towards everyone else."""
    return f"from.{code}"


def inbox_queue(code: str, lane: Lane) -> str:
    return f"inbox.{code}.{lane}"


def notices_queue(code: str) -> str:
    return f"notices.{code}"


def orders_queue(code: str) -> str:
    return f"orders.{code}"


def dead_letter_queue(code: str) -> str:
    """Where agency ``code`` publishes what it gave up on; only the authority reads it."""
    return f"dead-letter.{code}"


def letter_routing_key(code: str, lane: Lane) -> str:
    return f"{code}.{lane}"


def notice_routing_key(code: str) -> str:
    return f"{code}.notice"


def order_routing_key(code: str) -> str:
    return f"{code}.order"
