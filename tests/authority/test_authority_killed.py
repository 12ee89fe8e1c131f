"""The authority killed by SIGKILL between receiving, storing, acknowledging and answering a dead letter.

Each case: some letters of MPW to an agency that does not exist; the authority kills itself at the first, or at the
third, passage of the point, and is started again. Every dead letter is stored once and answered once.
"""

import pytest

from tests.authority.bed import AuthorityBed
from tests.authority.deaths import DEATHS_OF_THE_AUTHORITY

BURST = 4
SIGKILLED = -9


@pytest.mark.parametrize("passage", [1, 3], ids=["first", "third"])
@pytest.mark.parametrize("point", DEATHS_OF_THE_AUTHORITY)
def test_killed_authority_stores_and_answers_every_dead_letter_once(
    bed: AuthorityBed, point: str, passage: int
) -> None:
    death = DEATHS_OF_THE_AUTHORITY[point]
    armed = bed.start_authority(kill_at=f"{point}:{passage}")
    letters = [bed.letter("MPW", "ZZZ") for _ in range(passage - 1 + BURST)]
    with bed.account("MPW") as mpw:
        for number, letter in enumerate(letters):
            assert mpw.publish("from.MPW", "ZZZ.urgent", letter) == "ack"
            if number < passage - 1:
                # One passage each: the next one goes out when this one has been answered.
                bed.wait_audited(number + 1)
            elif number == passage - 1:
                assert armed.wait_exit() == SIGKILLED, armed.tail()
                assert bed.count("dead_letters") == number + death.stored
                assert bed.count("answers") == number
                assert bed.ready_messages("dead-letter") == death.in_queue
    bed.start_authority()
    bed.wait_audited(len(letters))
    assert set(bed.verdicts()) == {("refused", "recipient_unknown")}
    answered = bed.store("SELECT addressee, kind, recipient, count(*) FROM answers GROUP BY 1, 2, 3")
    assert [(a, k.rpartition("/")[2], r, n) for a, k, r, n in answered] == [("MPW", "rejected", "ZZZ", len(letters))]
    assert bed.ready_messages("notices.MPW") == len(letters)
    bed.until(lambda: bed.count("journal WHERE publisher = 'MPW'") == len(letters), "the journal complete")
