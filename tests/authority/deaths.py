"""Where the authority's process is killed, and what its store holds then; see ``test_authority_killed.py``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuthorityDeath:
    """What has been committed when the process dies at its first passage.

    Attributes:
        stored: whether the dead letter is in the store.
        in_queue: whether the broker will deliver it again.
    """

    stored: bool
    in_queue: bool


DEATHS_OF_THE_AUTHORITY = {
    "dead_letter_received_unstored": AuthorityDeath(stored=False, in_queue=True),
    "dead_letter_stored_unacked": AuthorityDeath(stored=True, in_queue=True),
    "dead_letter_acked_unanswered": AuthorityDeath(stored=True, in_queue=False),
}
