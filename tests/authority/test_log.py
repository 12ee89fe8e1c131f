"""The log of a real authority beside a real broker: followed, signed, served, proved, killed and handed over."""

import hashlib
import http.client
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from tests.authority.bed import AuthorityBed
from tests.support.adapters import TREE, AdapterProcess
from trust.certificates import read_certificate
from trust.checkpoint import Checkpoint, LogKey, open_checkpoint
from trust.directory import Directory
from trust.log_proof import LogProof


def log_key(bed: AuthorityBed) -> LogKey:
    """As anybody knows it: from the directory, up to the root."""
    anchor = read_certificate(bed.home / "root.pem")
    raw = (bed.home / "directory.jws").read_bytes()
    log = Directory.open(raw, [anchor], datetime.now(UTC)).log
    assert log is not None
    return log


def fetch(authority: AdapterProcess, where: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", authority.port, timeout=10)
    try:
        connection.request("GET", where)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def publish(bed: AuthorityBed, count: int) -> list[bytes]:
    letters = [bed.letter("MPW", "MOF") for _ in range(count)]
    with bed.account("MPW") as mpw:
        for letter in letters:
            assert mpw.publish("from.MPW", "MOF.routine", letter) == "ack"
    return letters


def digest(token: bytes) -> str:
    return hashlib.sha256(token.rpartition(b".")[0]).hexdigest()


def wait_signed(bed: AuthorityBed, count: int) -> None:
    """Until a signed checkpoint covers ``count`` accepted letters."""
    signed = "SELECT max(size) FROM log_heads WHERE note IS NOT NULL"
    covered = f"SELECT count(*) FROM log_entries WHERE accepted AND number < ({signed})"  # noqa: S608 - both above
    bed.until(lambda: bed.store(covered) == [(count,)], f"{count} accepted and signed")


def root_by_definition(hashes: list[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_by_definition(hashes[:k]) + root_by_definition(hashes[k:])).digest()


def signed_chain(bed: AuthorityBed) -> list[Checkpoint]:
    """Every checkpoint, its signature and its root verified against the entries as they stand."""
    entries = [bytes(row[0]) for row in bed.store("SELECT entry FROM log_entries ORDER BY number")]
    leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    chain = [
        open_checkpoint(bytes(row[0]), log_key(bed))[0]
        for row in bed.store("SELECT note FROM log_heads WHERE note IS NOT NULL ORDER BY size")
    ]
    for checkpoint in chain:
        assert checkpoint.root == root_by_definition(leaves[: checkpoint.size])
    return chain


def test_what_is_accepted_is_under_a_checkpoint_that_anybody_can_fetch_and_recompute(bed: AuthorityBed) -> None:
    authority = bed.start_authority()
    publish(bed, 20)
    wait_signed(bed, 20)
    status, note = fetch(authority, "/log/checkpoint")
    assert status == 200
    checkpoint, _ = open_checkpoint(note, log_key(bed))
    status, tile = fetch(authority, f"/log/tile/0/000.p/{checkpoint.size}")
    assert status == 200
    assert root_by_definition([tile[at : at + 32] for at in range(0, len(tile), 32)]) == checkpoint.root
    beyond, deep = f"0/000.p/{checkpoint.size + 1}", "0/" + "x999/" * 9 + "999"
    misspelt = ("0/x000/000.p/1", "0/0", "00/000.p/1", "0/000.p/0", "0/000.p/256", "64/000.p/1", "entries/000.p/1", "x")
    for nowhere in (beyond, deep, "0/000", "1/000.p/1", *misspelt):
        assert fetch(authority, f"/log/tile/{nowhere}")[0] == 404, nowhere


def test_the_command_gives_a_standard_proof_of_what_the_log_says(bed: AuthorityBed, tmp_path: Path) -> None:
    bed.start_authority()
    letters = publish(bed, 3)
    wait_signed(bed, 3)

    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "deploy.command", "authority", "log", *words]
        return subprocess.run(
            [*line, "--config", str(bed.home / "one.toml")],
            cwd=TREE, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    for letter in letters:
        folder = tmp_path / digest(letter)
        done = command("proof", digest(letter), "-o", str(folder))
        assert done.returncode == 0, done.stderr
        assert "accepted  MOF.routine  #" in done.stdout
        proof = LogProof.read((folder / "1.tlog-proof").read_bytes())
        entry = (folder / "1.json").read_bytes()
        assert proof.verify(entry, log_key(bed)).size >= 3
        assert digest(letter).encode() in entry
    shown = command("checkpoint")
    assert shown.returncode == 0
    open_checkpoint(shown.stdout.encode(), log_key(bed))
    absent = command("proof", "0" * 64)
    assert absent.returncode == 1
    assert "[not_in_the_log]" in absent.stderr


def test_killed_again_and_again_it_takes_everything_once(bed: AuthorityBed) -> None:
    rounds, letters = 4, 40
    for done in range(rounds):
        authority = bed.start_authority()
        publish(bed, letters)
        bed.until(lambda before=done: bed.count("log_entries") > before * letters, "some of it taken")
        authority.kill()
    bed.start_authority()
    wait_signed(bed, rounds * letters)
    counted = bed.store("SELECT count(*), count(DISTINCT digest || lane) FROM log_entries WHERE accepted")
    assert counted == [(rounds * letters, rounds * letters)]
    sizes = [checkpoint.size for checkpoint in signed_chain(bed)]
    assert sizes == sorted(set(sizes))


def test_a_holder_that_is_stopped_and_continued_leaves_one_chain_of_checkpoints(bed: AuthorityBed) -> None:
    one = bed.start_authority("one")
    two = bed.start_authority("two")
    publish(bed, 10)
    wait_signed(bed, 10)
    one.process.send_signal(signal.SIGSTOP)
    try:
        publish(bed, 10)
        wait_signed(bed, 20)
        assert two.check("log")["detail"] is None
    finally:
        one.process.send_signal(signal.SIGCONT)
    publish(bed, 10)
    wait_signed(bed, 30)
    bed.until(lambda: one.check("log")["detail"] == "standby", "the continued one stands by")
    sizes = [checkpoint.size for checkpoint in signed_chain(bed)]
    assert sizes == sorted(set(sizes))


def test_the_log_key_stands_in_the_directory_under_the_roots_name(bed: AuthorityBed) -> None:
    fingerprint = read_certificate(bed.home / "root.pem").fingerprint(hashes.SHA256()).hex()
    assert re.fullmatch(r"tarasul/[0-9a-f]{16}/journal/1", log_key(bed).origin)
    assert log_key(bed).origin.split("/")[1] == fingerprint[:16]
