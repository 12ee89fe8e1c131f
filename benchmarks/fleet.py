"""All 52 agencies, and 250: a circular to all, and traffic between all, beside the rate of two in the same run."""

import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

from bed import Bed, Recorder
from host import Host
from spread import spread

from gateway.bootstrap import AGENCY_PURPOSES, hand_out_directory
from gateway.members import Members
from schemas.agencies import connected
from trust.certificates import IssuingAuthority, write_certificates
from trust.keys import generate_key

CODES = tuple(agency.code for agency in connected())
ISSUER, SENDER, RECIPIENT = "CSC", "MPW", "MOF"
HOSTS = 4
SEED = 1433
RUNS = 5


def traffic(codes: Sequence[str], letters: int, seed: int = SEED) -> list[tuple[str, str]]:
    """(sender, recipient) of each letter: ordered pairs in a shuffled order, the n-th drawn with weight 1/n (Zipf)."""
    dice = random.Random(seed)  # noqa: S311 - the same traffic in every run
    pairs = list(permutations(codes, 2))
    dice.shuffle(pairs)
    return dice.choices(pairs, [1 / rank for rank in range(1, len(pairs) + 1)], k=letters)


def rate(hosts: dict[str, Host], recorder: Recorder, pairs: Sequence[tuple[str, str]]) -> float:
    """Letters a second, until all are delivered and recorded. ``hosts``: by the code of each agency in them."""
    shares: dict[Host, list[tuple[str, str]]] = {}
    for pair in pairs:
        shares.setdefault(hosts[pair[0]], []).append(pair)
    began = time.perf_counter()
    for host, share in shares.items():
        host.begin("send", pairs=share)
    for host in shares:
        host.result()
    delivered = time.perf_counter()
    return len(pairs) / (max(delivered, recorder.recorded_at()) - began)


def hosted(bed: Bed, running: ExitStack, codes: Sequence[str], count: int) -> dict[str, Host]:
    """``count`` processes that host ``codes``."""
    hosts: dict[str, Host] = {}
    for at in range(count):
        share = codes[at::count]
        hosts.update(dict.fromkeys(share, running.enter_context(Host(bed.configs(*share)))))
    return hosts


def two(bed: Bed, recorder: Recorder, letters: int) -> float:
    """The rate of two agencies, each in a process of its own."""
    with ExitStack() as running:
        hosts = hosted(bed, running, (SENDER, RECIPIENT), 2)
        rate(hosts, recorder, [(SENDER, RECIPIENT)] * 500)
        return rate(hosts, recorder, [(SENDER, RECIPIENT)] * letters)


def all_of(bed: Bed, recorder: Recorder, codes: Sequence[str], letters: int) -> tuple[float, list[float]]:
    """Rate of Zipf traffic between ``codes``, and seconds of circulars to all of the 52."""
    with ExitStack() as running:
        hosts = hosted(bed, running, codes, HOSTS)
        recipients = [code for code in CODES if code != ISSUER]
        rate(hosts, recorder, traffic(codes, 1000, SEED + 1))
        circulars = [
            hosts[ISSUER].ask("circular", sender=ISSUER, recipients=recipients)["seconds"] for _ in range(RUNS)
        ]
        return rate(hosts, recorder, traffic(codes, letters)), circulars


def apply_topology(bed: Bed) -> float:
    """Seconds of ``tarasul authority topology apply``."""
    began = time.perf_counter()
    bed.stage.run("authority", "topology", "apply", "--config", str(bed.stage.authority))
    return time.perf_counter() - began


def topology(bed: Bed) -> dict[str, list[float]]:
    """Seconds to make everything from nothing, and to find that nothing is to be made."""
    from_nothing: list[float] = []
    again: list[float] = []
    for _ in range(RUNS):
        with bed.stage.management() as management:
            management.delete("/api/vhosts/tarasul")
            for code in CODES:
                management.delete(f"/api/users/{code}")
        from_nothing.append(apply_topology(bed))
        again.append(apply_topology(bed))
    return {"from_nothing": from_nothing, "again": again}


def enlarge(bed: Bed, agencies: int) -> list[str]:
    """Agencies that no state has, entered beside the 52 until there are ``agencies``; returns all codes."""
    folder = bed.stage.folder
    issuing = IssuingAuthority(folder / "authority" / "issuing")
    now = datetime.now(UTC)
    codes = [f"Z{chr(65 + n // 26)}{chr(65 + n % 26)}Z" for n in range(agencies - len(CODES))]
    pattern = bed.stage.config(SENDER).read_text("utf-8")
    port = next(line for line in pattern.splitlines() if line.startswith("port"))
    with Members.held(folder) as members:
        for code in codes:
            home = bed.stage.agency(code)
            (home / "keys").mkdir(parents=True)
            certificates = []
            for purpose in AGENCY_PURPOSES:
                key = generate_key(home / "keys" / f"{purpose.value}.key")
                certificate = issuing.issue_certificate(
                    purpose, code, key, not_before=now - timedelta(hours=1), not_after=now + timedelta(days=1)
                )
                write_certificates(home / "keys" / f"{purpose.value}.pem", [certificate, issuing.certificate])
                certificates.append(certificate)
            members.add(code, (f"جهة {code}", f"Agency {code}"), "simulated", certificates)
            (home / "root.pem").write_bytes((bed.stage.agency(SENDER) / "root.pem").read_bytes())
            text = pattern.replace(f'"{SENDER}"', f'"{code}"').replace(port, "port = 0")
            bed.stage.config(code).write_text(text, "utf-8")
        members.sign_next(now)
    hand_out_directory(folder)
    apply_topology(bed)
    return [*CODES, *codes]


def measure(folder: Path, letters: int) -> dict[str, Any]:
    """The figures of the fleet; five runs of each where it says runs."""
    found: dict[str, Any] = {"hosts": HOSTS, "seed": SEED, "letters": letters}
    with Bed(folder, CODES) as bed:
        found["topology_52_s"] = {name: spread(values) for name, values in topology(bed).items()}
        alone, many = bed.idle_mb(CODES[0]), bed.idle_mb(*CODES[:13])
        found["memory_mb"] = {"one": alone, "thirteen": many, "per_further_agency": (many - alone) / 12}
        with bed.authority() as recorder:
            twos: list[float] = []
            rates: dict[str, list[float]] = {"52": [], "250": []}
            circulars: list[float] = []
            for _ in range(RUNS):
                twos.append(two(bed, recorder, letters))
                per_second, seconds = all_of(bed, recorder, CODES, letters)
                rates["52"].append(per_second)
                circulars += seconds
                print(f"two {twos[-1]:.0f}/s, 52 {per_second:.0f}/s, circular {seconds}", file=sys.stderr)
        found["circular_to_51_s"] = spread(circulars)
        found["two_per_second"] = spread(twos)
        found["ratio_52"] = spread([many / pair for many, pair in zip(rates["52"], twos, strict=True)])
        codes = enlarge(bed, 250)
        with bed.authority() as recorder:
            pairs: list[tuple[float, float]] = []
            for _ in range(RUNS):
                pair = two(bed, recorder, letters)
                many, _circulars = all_of(bed, recorder, codes, letters)
                pairs.append((pair, many))
                print(f"two {pair:.0f}/s, 250 {many:.0f}/s", file=sys.stderr)
        found["ratio_250"] = spread([many / pair for pair, many in pairs])
    return found
