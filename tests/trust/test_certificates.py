"""Certificates as the authority issues them: what each says, and what it can be used for."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.configuration import BrokerTls
from broker.node import PrivateNode
from broker.node_certificates import CertificateFiles, NodeTls
from broker.node_probe import answers_amqp, probe_context
from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.made_chains import UNREADABLE, damaged
from trust.certificates import (
    IssuingAuthority,
    RootAuthority,
    certificate_digest,
    certificate_owner,
    certificate_purpose,
    key_id,
    read_certificate,
    write_certificates,
)
from trust.chain import verify_chain
from trust.errors import VerificationError

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
VALID = timedelta(days=30)


def issued(authority: MadeAuthority, purpose: KeyPurpose) -> x509.Certificate:
    return authority.issuing.issue_certificate(
        purpose,
        "MPW",
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        not_before=authority.now,
        not_after=authority.now + VALID,
    )


def extended_usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.mark.parametrize("purpose", list(KeyPurpose))
def test_a_certificate_says_whose_key_it_is_and_what_for(authority: MadeAuthority, purpose: KeyPurpose) -> None:
    certificate = issued(authority, purpose)

    assert (certificate_owner(certificate), certificate_purpose(certificate)) == ("MPW", purpose.value)
    assert key_id(certificate) == f"MPW.{purpose.value}.{certificate_digest(certificate)[:16]}"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:x-tarasul:MPW:{purpose.value}"]
    verify_chain(certificate, [authority.issuing.certificate], [authority.root.certificate], authority.now)


@pytest.mark.parametrize("purpose", list(KeyPurpose))
def test_only_transport_may_log_in_and_all_others_only_sign_documents(
    authority: MadeAuthority, purpose: KeyPurpose
) -> None:
    allowed = ExtendedKeyUsageOID.CLIENT_AUTH if purpose is KeyPurpose.TRANSPORT else DOCUMENT_SIGNING

    assert extended_usage(issued(authority, purpose)) == [allowed]


@pytest.mark.parametrize("purpose", list(KeyPurpose))
def test_only_the_seal_commits_and_only_the_envelope_agrees_on_keys(
    authority: MadeAuthority, purpose: KeyPurpose
) -> None:
    usage = issued(authority, purpose).extensions.get_extension_for_class(x509.KeyUsage)

    assert usage.critical
    assert usage.value.digital_signature == (purpose is not KeyPurpose.ENVELOPE)
    assert usage.value.key_agreement == (purpose is KeyPurpose.ENVELOPE)
    assert usage.value.content_commitment == (purpose is KeyPurpose.SEAL)
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign


def test_the_root_signs_issuing_authorities_and_these_no_further_ones(authority: MadeAuthority) -> None:
    def constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert constraints(authority.root.certificate) == x509.BasicConstraints(ca=True, path_length=1)
    assert constraints(authority.issuing.certificate) == x509.BasicConstraints(ca=True, path_length=0)
    assert constraints(issued(authority, KeyPurpose.SEAL)) == x509.BasicConstraints(ca=False, path_length=None)


def test_a_server_certificate_names_where_it_is_reached_and_logs_nobody_in(authority: MadeAuthority) -> None:
    certificate = authority.issuing.issue_server_certificate(
        "broker",
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        dns_names=["broker.example"],
        addresses=["192.0.2.7", "2001:db8::7"],
        not_before=authority.now,
        not_after=authority.now + VALID,
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(item) for item in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "2001:db8::7"]
    assert extended_usage(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]


def tls_files(authority: MadeAuthority, purpose: KeyPurpose, folder: Path) -> CertificateFiles:
    """What a TLS client of MPW would present: the chain and the key."""
    key = authority.file_key("MPW", purpose)
    chain = folder / f"{purpose.value}-chain.pem"
    write_certificates(chain, [key.certificate, authority.issuing.certificate])
    return CertificateFiles(chain, authority.keys_folder("MPW") / f"{purpose.value}.key")


@pytest.fixture(scope="module")
def server_files(authority: MadeAuthority) -> tuple[Path, Path]:
    return authority.server_files("server-of-certificates")


def handshake(authority: MadeAuthority, server_files: tuple[Path, Path], client_files: CertificateFiles) -> None:
    """A TLS handshake in memory, to a server that wants a client certificate.

    Raises:
        ssl.SSLError: one side refused.
    """
    server_key, server_chain = server_files
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(server_chain, server_key)
    server.load_verify_locations(authority.root_file)
    server.verify_mode = ssl.CERT_REQUIRED
    client = probe_context(authority.root_file, client_files.certificate, client_files.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


@pytest.mark.parametrize("purpose", [KeyPurpose.SEAL, KeyPurpose.ENVELOPE])
def test_openssl_takes_transport_as_a_client_and_no_other(
    authority: MadeAuthority, server_files: tuple[Path, Path], purpose: KeyPurpose, tmp_path: Path
) -> None:
    handshake(authority, server_files, tls_files(authority, KeyPurpose.TRANSPORT, tmp_path))

    with pytest.raises(ssl.SSLError, match="unsuitable certificate purpose"):
        handshake(authority, server_files, tls_files(authority, purpose, tmp_path))


@pytest.mark.usefixtures("rabbitmq")
def test_the_broker_takes_transport_as_a_log_in_and_no_other(
    authority: MadeAuthority, server_files: tuple[Path, Path], tmp_path: Path
) -> None:
    files = {
        purpose: tls_files(authority, purpose, tmp_path)
        for purpose in (KeyPurpose.TRANSPORT, KeyPurpose.SEAL, KeyPurpose.ENVELOPE)
    }
    server_key, server_chain = server_files
    tls = NodeTls(BrokerTls(authority.root_file, server_chain, server_key), files[KeyPurpose.TRANSPORT])

    with PrivateNode(tls=tls) as node:
        taken = [
            purpose
            for purpose, of_purpose in files.items()
            if answers_amqp(
                "127.0.0.1",
                node.amqps_port,
                probe_context(authority.root_file, of_purpose.certificate, of_purpose.key),
                "localhost",
            )
        ]

    assert taken == [KeyPurpose.TRANSPORT]


def test_an_authority_is_read_again_from_its_folder_and_never_made_anew_in_it(tmp_path: Path) -> None:
    made = MadeAuthority(tmp_path, agencies=())
    validity = {"not_before": made.now, "not_after": made.now + VALID}
    root_folder, issuing_folder = tmp_path / "root-offline", tmp_path / "authority" / "issuing"

    with pytest.raises(FileExistsError):
        RootAuthority.create(root_folder, **validity)
    with pytest.raises(FileExistsError):
        IssuingAuthority.create(issuing_folder, made.root, "another", **validity)

    assert RootAuthority(root_folder).certificate == made.root.certificate
    assert IssuingAuthority(issuing_folder).certificate == made.issuing.certificate
    for folder in (root_folder, issuing_folder):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_certificates_are_written_leaf_first_and_replace_the_file(authority: MadeAuthority, tmp_path: Path) -> None:
    file = tmp_path / "chain.pem"
    file.write_text("what was there before")
    leaf = issued(authority, KeyPurpose.SEAL)

    write_certificates(file, [leaf, authority.issuing.certificate])

    assert x509.load_pem_x509_certificates(file.read_bytes()) == [leaf, authority.issuing.certificate]
    assert read_certificate(file) == leaf
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_refused_by_its_path(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "root.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(VerificationError) as caught:
        read_certificate(file)

    assert (caught.value.code, caught.value.params) == (ErrorCode.CERTIFICATE_UNREADABLE, {"path": str(file)})


def test_no_certificate_outlives_its_issuer(authority: MadeAuthority, tmp_path: Path) -> None:
    # RFC 5280 wants the whole path valid at one instant: readers would refuse the directory with such a key in it.
    end = authority.now + timedelta(days=10)
    issuing = IssuingAuthority.create(
        tmp_path, authority.root, "Tarasul Issuing CA 2", not_before=authority.now, not_after=end
    )
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    year = {"not_before": authority.now, "not_after": authority.now + timedelta(days=365)}

    certificate = issuing.issue_certificate(KeyPurpose.SEAL, "MPW", key, **year)

    assert certificate.not_valid_after_utc == end
    assert issuing.issue_server_certificate("broker", key, **year).not_valid_after_utc == end
    verify_chain(certificate, [issuing.certificate], [authority.root.certificate], end)


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_certificate_with_a_part_that_cannot_be_read_is_refused_by_its_path(
    authority: MadeAuthority, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "seal.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(damaged(issued(authority, KeyPurpose.SEAL), what)))

    with pytest.raises(VerificationError) as caught:
        read_certificate(file)

    assert (caught.value.code, caught.value.params) == (ErrorCode.CERTIFICATE_UNREADABLE, {"path": str(file)})


def test_a_name_that_stands_twice_names_nobody(authority: MadeAuthority) -> None:
    def parts(*codes: str) -> list[x509.NameAttribute]:
        return [
            x509.NameAttribute(oid, code)
            for code in codes
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
        ]

    def with_subject(*codes: str) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        return (
            x509.CertificateBuilder(x509.Name(parts("issuer")), x509.Name(parts(*codes)), key.public_key(), 1)
            .not_valid_before(authority.now)
            .not_valid_after(authority.now + VALID)
            .sign(key, hashes.SHA256())
        )

    once, twice = with_subject("MPW"), with_subject("MPW", "MOF")
    assert (certificate_owner(once), certificate_purpose(once)) == ("MPW", "MPW")
    assert (certificate_owner(twice), certificate_purpose(twice)) == (None, None)
