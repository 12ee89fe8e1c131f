"""Founding an authority: everything in its place, nothing readable by others, all of it or nothing."""

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from agency_adapter.settings import read_settings
from broker.configuration import FILES
from broker.topology import AUDIT_USER, LOG_USER
from gateway import bootstrap as founding
from gateway.bootstrap import AGENCY_PURPOSES, AUTHORITY_PURPOSES, bootstrap
from gateway.settings import read_authority_settings
from gateway.settings_files import BrokerPlace
from schemas.agencies import AGENCIES, connected
from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from tests.gateway.founding import CODES, FOUND, NOW, found, opened_directory, touches_when_killed_at
from tests.gateway.topology_bed import Terminal
from trust.certificates import certificate_owner, certificate_purpose, read_certificate
from trust.directory_entries import decode_certificate
from trust.keys import FileKey


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _pairs(*names: str) -> set[str]:
    return {f"{name}.{ending}" for name in names for ending in ("key", "pem")}


def _certificates(folder: Path) -> Iterator[tuple[Path, x509.Certificate]]:
    for file in folder.rglob("*.pem"):
        for certificate in x509.load_pem_x509_certificates(file.read_bytes()):
            yield file, certificate


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, InvalidSignature):
        return False
    return True


def test_everything_stands_where_it_is_used_and_nothing_else_is_there(founded: Path) -> None:
    own = {f"authority/keys/{file}" for file in _pairs(*(purpose.value for purpose in AUTHORITY_PURPOSES))}
    own.add("authority/keys/log.key")
    written = (*FILES, "definitions.json", "management.json")
    broker = {f"authority/broker/{file}" for file in (*_pairs("broker", "probe"), *written)}
    accounts = {f"authority/accounts/{file}" for file in _pairs(AUDIT_USER, LOG_USER)}
    single = {f"authority/{name}" for name in ("root.pem", "members.json", "directory.jws", "authority.toml")}
    of_agencies = {
        f"agencies/{code}/{name}"
        for code in CODES
        for name in (
            "adapter.toml",
            "root.pem",
            "directory.jws",
            *(f"keys/{file}" for file in _pairs(*(purpose.value for purpose in AGENCY_PURPOSES))),
        )
    }
    roots = {"root-offline/root.key", "root-offline/root.pem"}
    issuing = {"authority/issuing/issuing.key", "authority/issuing/issuing.pem"}
    assert _files(founded) == own | broker | accounts | single | of_agencies | roots | issuing


def test_nobody_else_can_read_a_key_or_the_folder_it_is_in(founded: Path) -> None:
    keys = sorted(founded.rglob("*.key"))
    assert len(keys) > len(AUTHORITY_PURPOSES) + len(CODES) * len(AGENCY_PURPOSES)
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700, key.parent
    assert stat.S_IMODE(founded.stat().st_mode) == 0o700


def test_the_roots_key_is_in_its_own_folder_and_nowhere_else(founded: Path) -> None:
    root = read_certificate(founded / "authority" / "root.pem").public_key()
    holders = [
        file.relative_to(founded)
        for file in founded.rglob("*.key")
        if serialization.load_pem_private_key(file.read_bytes(), None).public_key() == root
    ]
    assert holders == [Path("root-offline/root.key")]
    secret = (founded / "root-offline" / "root.key").read_bytes().splitlines()[1]
    assert [file for file in founded.rglob("*") if file.is_file() and secret in file.read_bytes()] == [
        founded / "root-offline" / "root.key"
    ]


def test_the_root_signs_itself_and_the_issuing_authority_and_nothing_else(founded: Path) -> None:
    root = read_certificate(founded / "root-offline" / "root.pem")
    signed = {certificate for _, certificate in _certificates(founded) if _issued_by(certificate, root)}
    issuing = read_certificate(founded / "authority" / "issuing" / "issuing.pem")
    assert signed == {root, issuing}
    assert issuing.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        ca=True, path_length=0
    )


def test_all_that_pin_the_root_pin_the_same(founded: Path) -> None:
    pinned = {file.read_bytes() for file in founded.rglob("root.pem")}
    assert len(pinned) == 1


def test_every_chain_verifies_up_to_the_root_by_openssl(founded: Path) -> None:
    root = founded / "root-offline" / "root.pem"
    openssl = shutil.which("openssl")
    assert openssl is not None
    chains = [file for file in founded.rglob("*.pem") if file.name not in {"root.pem", "issuing.pem"}]
    assert len(chains) > len(AUTHORITY_PURPOSES) + len(CODES) * len(AGENCY_PURPOSES)
    for chain in chains:
        # The leaf is the file's first certificate; the second is the issuing authority's.
        checked = subprocess.run(
            [openssl, "verify", "-x509_strict", "-CAfile", root, "-untrusted", chain, chain],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr


def test_each_key_has_its_own_certificate_which_names_owner_and_purpose(founded: Path) -> None:
    for code in CODES:
        for purpose in AGENCY_PURPOSES:
            file = founded / "agencies" / code / "keys" / f"{purpose.value}.key"
            certificate = FileKey(file, file.with_suffix(".pem")).certificate
            assert (certificate_owner(certificate), certificate_purpose(certificate)) == (code, purpose.value)


def test_the_directory_opens_with_the_pinned_root_and_has_every_key_for_its_purpose(founded: Path) -> None:
    directory = opened_directory(founded)
    assert directory.version == 1
    assert set(directory.agencies) == {AUTHORITY, *CODES}
    places = {code: founded / "agencies" / code / "keys" for code in CODES} | {
        AUTHORITY: founded / "authority" / "keys"
    }
    for code, folder in places.items():
        purposes = AUTHORITY_PURPOSES if code == AUTHORITY else AGENCY_PURPOSES
        entries = {entry.purpose: entry for entry in directory.agencies[code].keys}
        assert list(entries) == [purpose.value for purpose in purposes]
        for purpose, entry in entries.items():
            assert decode_certificate(entry.certificate) == read_certificate(folder / f"{purpose}.pem")
            if purpose != KeyPurpose.ENVELOPE:  # which this release lists and cannot use yet
                key = directory.key(entry.kid)
                assert key is not None
                assert (key.agency, key.purpose) == (code, purpose)


def test_every_agency_gets_the_authoritys_directory(founded: Path) -> None:
    signed = (founded / "authority" / "directory.jws").read_bytes()
    assert [(founded / "agencies" / code / "directory.jws").read_bytes() for code in CODES] == [signed] * len(CODES)


def test_adapters_can_read_their_settings_and_find_what_these_name(founded: Path) -> None:
    for number, code in enumerate(CODES):
        settings = read_settings(founded / "agencies" / code / "adapter.toml")
        assert (settings.agency, settings.api.port) == (code, 8101 + number)
        assert settings.broker.nodes == ("localhost:5671",)
        address = settings.address()
        for file in (settings.path(settings.trust.root), settings.path(settings.trust.directory_file)):
            assert file.is_file()
        assert FileKey(address.key, address.certificate).certificate
        assert address.authority.is_file()


def test_the_authority_can_read_its_settings(founded: Path) -> None:
    settings = read_authority_settings(founded / "authority" / "authority.toml")
    assert settings.path(settings.root).is_file()
    assert settings.path(settings.directory_file).is_file()
    assert settings.broker.sizes == "production"


@pytest.mark.parametrize(
    ("host", "names", "addresses"),
    [
        ("broker.example", ["broker.example", "localhost"], ["127.0.0.1"]),
        ("10.1.2.3", ["localhost"], ["10.1.2.3", "127.0.0.1"]),
        ("localhost", ["localhost"], ["127.0.0.1"]),
    ],
)
def test_the_brokers_certificate_is_good_for_its_host(
    host: str, names: list[str], addresses: list[str], tmp_path: Path
) -> None:
    bootstrap(tmp_path / "made", [], NOW, broker=BrokerPlace(host=host), api_ports=[])
    certificate = read_certificate(tmp_path / "made" / "authority" / "broker" / "broker.pem")
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == names
    assert [str(address) for address in found.get_values_for_type(x509.IPAddress)] == addresses


def test_only_transport_certificates_can_log_in(founded: Path) -> None:
    client = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
    for file, certificate in _certificates(founded / "agencies"):
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            continue
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (client in usage) == (certificate_purpose(certificate) == KeyPurpose.TRANSPORT), file


# What stands in the way


def test_a_folder_with_something_in_it_is_refused_and_left_as_it_is(founded: Path, tmp_path: Path) -> None:
    before = {file: (founded / file).read_bytes() for file in _files(founded)}
    with pytest.raises(Refused) as refused:
        found(founded)
    assert refused.value.code is ErrorCode.ALREADY_BOOTSTRAPPED
    assert {file: (founded / file).read_bytes() for file in _files(founded)} == before

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept", "utf-8")
    with pytest.raises(Refused) as refused:
        found(tmp_path / "mine")
    assert refused.value.code is ErrorCode.ALREADY_BOOTSTRAPPED
    assert _files(tmp_path) == {"mine/notes.txt"}


def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("kept", "utf-8")
    with pytest.raises(Refused) as refused:
        found(tmp_path / "taken")
    assert refused.value.code is ErrorCode.ALREADY_BOOTSTRAPPED
    with pytest.raises(Refused) as refused:
        found(tmp_path / "taken" / "below")
    assert refused.value.code is ErrorCode.FILE_UNREADABLE
    assert (tmp_path / "taken").read_text("utf-8") == "kept"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found(tmp_path / "empty", ("MPW",))
    assert set(opened_directory(tmp_path / "empty").agencies) == {AUTHORITY, "MPW"}


def test_an_agency_that_is_not_in_the_list_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        found(tmp_path / "made", ("MPW", "XYZ"))
    assert refused.value.code is ErrorCode.AGENCY_UNKNOWN
    assert "XYZ" in refused.value.text("en")
    assert list(tmp_path.iterdir()) == []


# Broken off in the middle


@pytest.mark.parametrize("step", ["generate_key", "write_certificates", "write_whole", "hand_out_directory"])
def test_a_founding_that_fails_leaves_neither_an_authority_nor_a_draft(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device", "somewhere")

    def fails(*_: object) -> None:
        raise full

    monkeypatch.setattr(founding, step, fails)
    with pytest.raises(Refused) as refused:
        found(tmp_path / "made", ("MPW",))
    assert refused.value.code is ErrorCode.FILE_UNREADABLE
    assert "No space left" in refused.value.text("en")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    found(tmp_path / "made", ("MPW",))
    assert opened_directory(tmp_path / "made").version == 1


def test_a_founding_that_is_interrupted_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(founding, "hand_out_directory", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "made", ("MPW",))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="session")
def touches_of_a_founding(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How often a founding that nobody kills touches a file."""
    touches = touches_when_killed_at(FOUND, tmp_path_factory.mktemp("whole"), 0)
    assert touches is not None
    return touches


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_a_founding_that_is_killed_leaves_no_authority_and_does_not_hinder_the_next(
    share: float, touches_of_a_founding: int, tmp_path: Path
) -> None:
    moment = max(1, round(share * touches_of_a_founding))
    assert touches_when_killed_at(FOUND, tmp_path, moment) is None
    assert not (tmp_path / "authority-of-one").exists()
    found(tmp_path / "authority-of-one", ("MPW",))
    assert set(opened_directory(tmp_path / "authority-of-one").agencies) == {AUTHORITY, "MPW"}


# The command


def test_unless_agencies_are_named_the_52_become_members_with_both_names(tmp_path: Path, terminal: Terminal) -> None:
    ran = terminal("authority", "bootstrap", tmp_path / "made", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.document == {
        "folder": str(tmp_path / "made"),
        "agencies": [agency.code for agency in connected()],
        "root": str(tmp_path / "made" / "root-offline"),
    }
    members = dict(opened_directory(tmp_path / "made").agencies)
    assert members.pop(AUTHORITY).kind == "authority"
    assert len(members) == 52
    for code, member in members.items():
        known = AGENCIES[code]
        assert (member.name_ar, member.name_en, member.kind) == (known.name_ar, known.name_en, known.kind)
        assert member.status == "active"
    ports = [read_settings(tmp_path / "made" / "agencies" / code / "adapter.toml").api.port for code in members]
    assert len(set(ports)) == 52


def test_the_command_says_in_arabic_then_english_what_it_made_and_what_to_do_with_the_root(
    tmp_path: Path, terminal: Terminal
) -> None:
    folder = tmp_path / "made"
    ran = terminal(
        "authority", "bootstrap", folder, "--agency", "MPW", "--agency", "MOF", "--agency", "MPW",
        "--broker-host", "broker.example", "--broker-port", "5999",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    arabic, english, move_arabic, move_english = ran.out.splitlines()
    assert arabic == f"أُنشئت السلطة في {folder} ولها 2 جهة."
    assert english == f"The authority is in {folder}, with 2 agencies."
    assert str(folder / "root-offline") in move_arabic
    assert str(folder / "root-offline") in move_english
    settings = read_settings(folder / "agencies" / "MOF" / "adapter.toml")
    assert settings.broker.nodes == ("broker.example:5999",)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--agency", "NOBODY"), "agency_unknown"), ((), "already_bootstrapped")],
)
def test_the_command_exits_1_with_the_reason_in_both_languages(
    arguments: tuple[str, ...], code: str, authority: Path, terminal: Terminal
) -> None:
    ran = terminal("authority", "bootstrap", authority, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count(f"[{code}]") == 2


@pytest.mark.parametrize("host", ['a"b', "a b", "", "-a", "a\nb", "a" * 254])
def test_a_host_that_is_none_is_wrong_use(host: str, tmp_path: Path, terminal: Terminal) -> None:
    ran = terminal("authority", "bootstrap", tmp_path / "made", "--agency", "MPW", "--broker-host", host)
    assert ran.code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_folder_one_stands_in_is_wrong_use_as_it_would_be_replaced(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert terminal("authority", "bootstrap", ".", "--agency", "MPW").code == 2
    assert list(tmp_path.iterdir()) == []
