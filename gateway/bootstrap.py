"""Founding: from an empty folder to an authority with a root, keys, members and a signed directory.

What is made, each in the place where it is used:

    root-offline/          the root's key and certificate: signs issuing authorities and nothing else; take it away
    authority/             issuing/, keys/ (directory, receipts, log), accounts/ (the authority's own log-ins at the
                           broker), broker/ (the broker's certificate, configuration and first account), root.pem,
                           members.json, directory.jws, authority.toml
    agencies/<CODE>/       adapter.toml, root.pem, directory.jws, keys/ (transport, seal, envelope)

This makes the agencies' keys too, for a trial on one machine: an agency that joins for good makes its own and sends
only what is to be certified. Everything is made in a folder beside and moved into place in one step, so that a
founding that was broken off leaves nothing that looks like an authority.
"""

import ipaddress
import secrets
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from broker.configuration import BrokerTls, production
from broker.configuration import write as write_configuration
from broker.first_account import write_first_account
from broker.node_certificates import CertificateFiles, NodeTls
from broker.topology import AUDIT_USER, LOG_USER
from gateway.members import Members, authority_folder, write_whole
from gateway.settings_files import BrokerPlace, write_settings
from schemas.agencies import AGENCIES
from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from trust.certificates import IssuingAuthority, RootAuthority, write_certificates
from trust.checkpoint import LogKey
from trust.key_files import generate_log_key
from trust.keys import generate_key

ROOT_YEARS = 20
ISSUER_YEARS = 5
CERTIFICATE_DAYS = 365
BACKDATED = timedelta(hours=1)
"""Validity begins so much before the founding, as clocks differ."""

AGENCY_PURPOSES = (KeyPurpose.TRANSPORT, KeyPurpose.SEAL, KeyPurpose.ENVELOPE)
AUTHORITY_PURPOSES = (*AGENCY_PURPOSES, KeyPurpose.DIRECTORY, KeyPurpose.RECEIPTS)
AUTHORITY_NAMES = ("السلطة المركزية لتراسل", "Tarasul central authority")
PROBE = "tarasul-probe"
ORIGIN_DIGITS = 16
LOOPBACK = "127.0.0.1"


def bootstrap(
    folder: Path, codes: Sequence[str], now: datetime, *, broker: BrokerPlace, api_ports: Sequence[int]
) -> None:
    """Found an authority in ``folder``.

    Args:
        folder: empty or not there; replaced in one step.
        codes: members, from the list of :mod:`schemas.agencies`.
        now: start of every validity, aware.
        broker: see there.
        api_ports: port of each member's local API, in the order of ``codes``.

    Raises:
        Refused: ``already_bootstrapped`` when something is in ``folder``, ``agency_unknown``, ``file_unreadable``
            when the folder cannot be made.
    """
    for code in codes:
        if code not in AGENCIES:
            raise Refused(ErrorCode.AGENCY_UNKNOWN, agency=code)
    folder = folder.resolve()
    try:
        _make_beside(folder, codes, now, broker, api_ports)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise Refused(ErrorCode.FILE_UNREADABLE, path=str(error.filename or folder), problem=problem) from error


def _make_beside(
    folder: Path, codes: Sequence[str], now: datetime, broker: BrokerPlace, api_ports: Sequence[int]
) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Refused(ErrorCode.ALREADY_BOOTSTRAPPED, path=str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700)
    try:
        _Founder(draft, now, broker).found(codes, api_ports)
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def hand_out_directory(folder: Path) -> list[str]:
    """Copy the newest directory into every agency's folder beside ``authority/``; returns their codes.

    This is how a trial's adapters get it; where agencies have machines of their own, they fetch it.
    """
    signed = (authority_folder(folder) / "directory.jws").read_bytes()
    homes = sorted(path for path in (folder / "agencies").glob("*") if path.is_dir())
    for home in homes:
        write_whole(home / "directory.jws", signed)
    return [home.name for home in homes]


def node_tls(folder: Path) -> NodeTls:
    """The certificates with which a private node serves the authority in ``folder``."""
    home = authority_folder(folder)
    broker = home / "broker"
    return NodeTls(
        BrokerTls(home / "root.pem", broker / "broker.pem", broker / "broker.key"),
        CertificateFiles(broker / "probe.pem", broker / "probe.key"),
    )


class _Founder:
    def __init__(self, folder: Path, now: datetime, broker: BrokerPlace) -> None:
        self._folder = folder
        self._start = now - BACKDATED
        self._now = now
        self._broker = broker

    def found(self, codes: Sequence[str], api_ports: Sequence[int]) -> None:
        home = authority_folder(self._folder)
        root = RootAuthority.create(
            self._folder / "root-offline", not_before=self._start, not_after=self._after(365 * ROOT_YEARS)
        )
        self._issuing = IssuingAuthority.create(
            home / "issuing",
            root,
            "Tarasul Issuing CA 1",
            not_before=self._start,
            not_after=self._after(365 * ISSUER_YEARS),
        )
        write_certificates(home / "root.pem", [root.certificate])
        self._broker_certificates(home / "broker")
        write_configuration(production(), home / "broker")
        write_first_account(home / "broker" / "management.json", home / "broker" / "definitions.json")
        for user in (AUDIT_USER, LOG_USER):
            self._log_in(user, home / "accounts", user)
        members = Members(self._folder)
        # Named after the root: no other authority's log has that name, and no domain need be registered for it.
        origin = f"tarasul/{root.certificate.fingerprint(hashes.SHA256()).hex()[:ORIGIN_DIGITS]}/journal/1"
        members.log = str(LogKey(origin, generate_log_key(home / "keys" / f"{KeyPurpose.LOG.value}.key")))
        keys = [self._key(AUTHORITY, purpose, home / "keys") for purpose in AUTHORITY_PURPOSES]
        members.add(AUTHORITY, AUTHORITY_NAMES, "authority", keys)
        for code in codes:
            known = AGENCIES[code]
            agency = self._folder / "agencies" / code
            keys = [self._key(code, purpose, agency / "keys") for purpose in AGENCY_PURPOSES]
            members.add(code, (known.name_ar, known.name_en), known.kind, keys)
            write_certificates(agency / "root.pem", [root.certificate])
        write_settings(self._folder, self._broker, dict(zip(codes, api_ports, strict=True)))
        members.sign_next(self._now)
        hand_out_directory(self._folder)

    def _after(self, days: int) -> datetime:
        return self._now + timedelta(days=days)

    def _key(self, code: str, purpose: KeyPurpose, folder: Path) -> x509.Certificate:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate = self._issuing.issue_certificate(
            purpose,
            code,
            generate_key(folder / f"{purpose.value}.key"),
            not_before=self._start,
            not_after=self._after(CERTIFICATE_DAYS),
        )
        self._write_chain(folder / f"{purpose.value}.pem", certificate)
        return certificate

    def _broker_certificates(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True)
        names, addresses = {"localhost"}, {LOOPBACK}
        (addresses if _is_address(self._broker.host) else names).add(self._broker.host)
        server = self._issuing.issue_server_certificate(
            "broker",
            generate_key(folder / "broker.key"),
            dns_names=sorted(names),
            addresses=sorted(addresses),
            not_before=self._start,
            not_after=self._after(CERTIFICATE_DAYS),
        )
        self._write_chain(folder / "broker.pem", server)
        # The probe shows that the broker answers; no account bears its name.
        self._log_in(PROBE, folder, "probe")

    def _log_in(self, user: str, folder: Path, name: str) -> None:
        """A certificate with which the authority's own program ``user`` reaches the broker."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate = self._issuing.issue_certificate(
            KeyPurpose.TRANSPORT,
            user,
            generate_key(folder / f"{name}.key"),
            not_before=self._start,
            not_after=self._after(CERTIFICATE_DAYS),
        )
        self._write_chain(folder / f"{name}.pem", certificate)

    def _write_chain(self, file: Path, certificate: x509.Certificate) -> None:
        write_certificates(file, [certificate, self._issuing.certificate])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
