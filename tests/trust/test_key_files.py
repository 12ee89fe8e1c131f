"""Private keys in files: made once, read by their owner alone, and never quoted."""

import os
import resource
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.forging import scalars
from trust.errors import VerificationError
from trust.keys import FileKey, generate_key, read_key

CLEAR = serialization.NoEncryption()
PLAIN_PEM = (Encoding.PEM, PrivateFormat.PKCS8, CLEAR)


def refused(file: Path) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        read_key(file)
    assert caught.value.code is ErrorCode.KEY_UNREADABLE
    assert caught.value.params["path"] == str(file)
    return caught.value


def written_key(file: Path, pem: bytes, mode: int = 0o600) -> Path:
    file.write_bytes(pem)
    file.chmod(mode)
    return file


def test_a_key_is_made_for_its_owner_alone_and_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "seal.key"

    public_key = generate_key(file)

    assert read_key(file).public_key() == public_key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_the_umask_opens_no_key_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        generate_key(tmp_path / "seal.key")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "seal.key").stat().st_mode) == 0o600


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    generate_key(file)
    before = file.read_bytes()

    with pytest.raises(FileExistsError):
        generate_key(file)

    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_in_the_keys_place_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere", tmp_path / "seal.key"
    link.symlink_to(target)

    with pytest.raises(FileExistsError):
        generate_key(link)

    assert not target.exists()


def test_a_key_that_cannot_be_written_whole_does_not_appear(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # as a full disk: the file stops after 100 bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            generate_key(tmp_path / "seal.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_a_key_that_others_can_reach_is_refused_with_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "seal.key"
    generate_key(file)
    file.chmod(mode)

    assert f"{mode:04o}" in str(refused(file).params["problem"])


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_only_its_owner_can_reach_is_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "seal.key"
    public_key = generate_key(file)
    file.chmod(mode)

    assert read_key(file).public_key() == public_key


@pytest.mark.parametrize(
    "pem",
    [
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
        ),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(*PLAIN_PEM),
        ec.generate_private_key(ec.SECP256K1()).private_bytes(*PLAIN_PEM),
        rsa.generate_private_key(65537, 2048).private_bytes(*PLAIN_PEM),
        ed25519.Ed25519PrivateKey.generate().private_bytes(*PLAIN_PEM),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, CLEAR),
        b"",
        b"\0" * 100,
    ],
    ids=["encrypted", "P-384", "secp256k1", "RSA", "Ed25519", "DER", "empty", "zeros"],
)
def test_anything_but_an_unencrypted_p256_key_in_pem_is_refused(tmp_path: Path, pem: bytes) -> None:
    refused(written_key(tmp_path / "seal.key", pem))


def test_a_missing_key_and_a_folder_in_its_place_are_refused(tmp_path: Path) -> None:
    assert "No such file" in str(refused(tmp_path / "none.key").params["problem"])
    assert "directory" in str(refused(tmp_path).params["problem"])


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN PRIVATE KEY-----\nS3CRETS3CRETS3CRET\n-----END PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nS3CRETS3CRETS3CRET\n-----END EC PRIVATE KEY-----\n",
        "S3CRETS3CRETS3CRET",
    ],
)
def test_no_message_quotes_what_stands_in_the_file(tmp_path: Path, pem: str) -> None:
    error = refused(written_key(tmp_path / "seal.key", pem.encode()))

    said = [str(error), repr(error), error.text("ar"), error.text("en"), repr(error.params), repr(error.__cause__)]
    assert "S3CRET" not in "".join(said)
    assert error.__suppress_context__


def test_a_key_does_not_show_itself(authority: MadeAuthority) -> None:
    key = authority.file_key("MPW")
    text = (authority.keys_folder("MPW") / "seal.key").read_text().splitlines()[1]

    assert text not in repr(key) + str(vars(key))


def test_the_certificate_of_another_key_is_refused(authority: MadeAuthority) -> None:
    mine, other = authority.keys_folder("MPW"), authority.keys_folder("MOF")

    with pytest.raises(VerificationError) as caught:
        FileKey(mine / "seal.key", other / "seal.pem")

    assert caught.value.code is ErrorCode.KEY_UNREADABLE
    assert "seal.pem" in str(caught.value.params["problem"])


async def test_a_batch_is_signed_in_its_order(authority: MadeAuthority) -> None:
    key = authority.file_key("MPW", KeyPurpose.SEAL)
    public = key.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    digests = [bytes([number % 256, number // 256]) * 16 for number in range(600)]

    signatures = await key.sign(digests)

    assert len(signatures) == 600
    for digest, signature in zip(digests, signatures, strict=True):
        assert len(signature) == 64
        public.verify(encode_dss_signature(*scalars(signature)), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    assert await key.sign([]) == []
