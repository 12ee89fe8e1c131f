"""`tarasul authority log …` in this process: what the log has, and what it has not."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, update

from gateway.log_tree import append
from gateway.store.opening import open_gateway_store
from gateway.store.tables import log_entries, log_heads
from tests.gateway.databases import place, postgres
from tests.gateway.topology_bed import Terminal
from trust.checkpoint import Checkpoint, LogKey, sign_checkpoint
from trust.log_proof import LogProof
from trust.merkle import leaf_hash

__all__ = ["place", "postgres"]
KEY = Ed25519PrivateKey.generate()
ORIGIN = "tarasul.example/journal/1"
DIGEST, ENTRY = "ab" * 32, b'{"said":"of a letter"}'


@pytest.fixture
def config(authority: Path, place: str) -> Path:
    """The settings of an authority with an empty log, on either database."""
    file = authority / "authority" / "authority.toml"
    file.write_text(f'store = "{place}"\n' + file.read_text("utf-8"), "utf-8")
    open_gateway_store(place, Path()).close()
    return file


@pytest.fixture
def filled(config: Path, place: str) -> Path:
    """The same with one entry, under a checkpoint."""
    store = open_gateway_store(place, Path())
    note = bytes(sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(ENTRY)), KEY))
    with store.engine.begin() as connection:
        append(connection, [leaf_hash(ENTRY)])
        connection.execute(
            insert(log_entries).values(number=0, digest=DIGEST, lane="MOF.routine", accepted=True, entry=ENTRY)
        )
        connection.execute(insert(log_heads).values(size=1, root=leaf_hash(ENTRY), made_at=0, note=note))
    store.close()
    return config


def test_what_the_log_has_not_is_refused(config: Path, terminal: Terminal) -> None:
    for words in (("checkpoint",), ("proof", DIGEST)):
        asked = terminal("authority", "log", *words, "--config", config)
        assert asked.code == 1
        assert "[not_in_the_log]" in asked.err


def test_the_newest_checkpoint_is_shown_as_it_was_signed(filled: Path, terminal: Terminal) -> None:
    shown = terminal("authority", "log", "checkpoint", "--config", filled)
    assert (shown.code, shown.err) == (0, "")
    document = terminal("authority", "log", "checkpoint", "--json", "--config", filled).document
    assert document["note"] == shown.out
    assert (document["origin"], document["size"]) == (ORIGIN, 1)


def test_a_proof_is_written_that_verifies(filled: Path, terminal: Terminal, tmp_path: Path) -> None:
    told = terminal("authority", "log", "proof", DIGEST.upper(), "-o", tmp_path / "proofs", "--config", filled)
    assert told.code == 0
    assert "accepted  MOF.routine  #0" in told.out
    proof = LogProof.read((tmp_path / "proofs" / "1.tlog-proof").read_bytes())
    entry = (tmp_path / "proofs" / "1.json").read_bytes()
    assert proof.verify(entry, LogKey(ORIGIN, KEY.public_key())).size == 1
    [item] = terminal("authority", "log", "proof", DIGEST, "--json", "--config", filled).document["items"]
    assert item["proof"].encode() == bytes(proof)


def test_a_lane_that_somebody_else_named_cannot_speak_to_the_terminal(
    filled: Path, place: str, terminal: Terminal
) -> None:
    store = open_gateway_store(place, Path())
    with store.engine.begin() as connection:
        connection.execute(update(log_entries).values(lane="\x1b[31mMOF.routine"))
    store.close()
    told = terminal("authority", "log", "proof", DIGEST, "--config", filled)
    assert told.code == 0
    assert "\x1b" not in told.out


@pytest.mark.parametrize("digest", ["", "ab", "g" * 64, "\udcff" * 64, "a" * 65])
def test_what_is_no_digest_is_wrong_use(config: Path, terminal: Terminal, digest: str) -> None:
    assert terminal("authority", "log", "proof", digest, "--config", config).code == 2


def test_a_folder_that_cannot_be_written_is_told(filled: Path, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told = terminal("authority", "log", "proof", DIGEST, "-o", tmp_path / "file", "--config", filled)
    assert told.code == 1
    assert "[output_unwritable]" in told.err
