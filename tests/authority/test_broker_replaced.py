"""The broker is replaced by another one, as docs/authority/broker-upgrade.md says, with letters in its queues.

The old one is the RabbitMQ that is installed, the new one that on which the tests run: with
``make test-slow RABBITMQ=4`` the way from 3.10 to 4.x.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.node import PrivateNode
from broker.node_installation import Installation
from gateway.bootstrap import node_tls
from tests.authority.bed import CODES, AuthorityBed
from tests.support.adapters import send_until_answered
from trust.token import TokenType

LETTERS = f"journal_tokens WHERE type = '{TokenType.LETTER.value}'"
UNTIL_THE_END_SECONDS = 20 * 60
"""Further ahead than any first repetition: 15 minutes and a quarter of it for jitter."""


class ReplaceableBed(AuthorityBed):
    """A bed whose broker can be changed for another at the same address."""

    def replace_broker(self) -> None:
        """The old one is stopped for good; the new one has the topology and nothing else."""
        old = self.node
        old.stop()
        self._node = PrivateNode(
            directory=self.folder / "new-broker", tls=node_tls(self.folder), amqps_port=old.amqps_port
        )
        old.close()
        self._node.start()
        self.apply_topology()


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplaceableBed]:
    bed = ReplaceableBed(tmp_path / "bed", CODES)
    with monkeypatch.context() as installed:
        installed.delenv("RABBITMQ_HOME", raising=False)
        bed.__enter__()
    try:
        yield bed
    finally:
        bed.__exit__(None, None, None)


def test_letters_in_the_queues_of_a_replaced_broker_arrive_through_the_new_one(
    bed: ReplaceableBed, rabbitmq: Installation
) -> None:
    for code in ("MPW", "MOF"):
        bed.begin(code)
    for code in ("MPW", "MOF"):
        bed.adapter(code).wait_ready()
    bed.start_authority()
    before = [send_until_answered(bed, "MPW", f"before-{number}", ["MOF", "SAB"]) for number in range(10)]
    for letter in before:
        bed.until(lambda letter=letter: bed.adapter("MPW").state(letter, "MOF") == "delivered", "delivered to MOF")
        bed.until(lambda letter=letter: bed.adapter("MPW").state(letter, "SAB") == "sent", "sent to SAB")
    assert bed.ready_messages("inbox.SAB.routine") == len(before)
    bed.until(
        lambda: bed.count("journal_tokens WHERE type = 'tarasul-letter+jws'") == 2 * len(before), "all of it recorded"
    )
    bed.authority().terminate()
    assert bed.authority().wait_stopped() == 0

    bed.replace_broker()
    assert bed.node.version == rabbitmq.version
    assert bed.ready_messages("inbox.SAB.routine") == 0
    after = send_until_answered(bed, "MPW", "after", ["MOF"])
    bed.until(lambda: bed.adapter("MPW").state(after, "MOF") == "delivered", "delivered through the new broker")
    bed.begin_authority()
    bed.until(lambda: bed.store("SELECT kind FROM journal_gaps") == [("re-created",)], "the gap")
    assert not bed.authority().check("journal_gaps")["ok"]

    bed.stop("MPW")
    for code in ("MPW", "SAB"):
        bed.start(code, clock_offset=UNTIL_THE_END_SECONDS)
    letters = 2 * len(before) + 1
    bed.until(lambda: bed.books().delivered == letters, "every letter delivered")
    bed.until(lambda: bed.count(f"{LETTERS} AND incarnation = 2") == len(before) + 1, "what came since recorded")
    bed.until(
        lambda: bed.books().differences == ["the journal has 1 gaps that nobody has acknowledged"],
        "books that know of nothing but the gap",
    )
    books = bed.books()
    assert (books.left_over, books.twice, books.unverified) == (0, 0, 0)
