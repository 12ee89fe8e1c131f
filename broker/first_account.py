"""The one account that a new broker begins with: the topology's, the only one with a password."""

import base64
import hashlib
import json
import secrets
from pathlib import Path

from broker.names import VHOST
from broker.node_certificates import write_secret

TOPOLOGY_USER = "tarasul-topology"


def write_first_account(credentials: Path, definitions: Path) -> None:
    """Make the account: ``credentials`` for the commands that use it, ``definitions`` for the broker's first start.

    Both files are 0600, and the password stands in the first alone. Where there are credentials nothing is changed.
    """
    if credentials.exists():
        return
    password = secrets.token_urlsafe(24)
    write_secret(definitions, first_definitions(password, secrets.token_bytes(4)).encode())
    write_secret(credentials, json.dumps({"user": TOPOLOGY_USER, "password": password}).encode())


def password_hash(password: str, salt: bytes) -> str:
    """The broker's salted SHA-256 (``rabbit_password_hashing_sha256``); ``salt`` is four random bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def first_definitions(password: str, salt: bytes) -> str:
    """Definitions that a new broker loads at its first start: the vhost and the account of the topology.

    They hold the password's hash, never the password; the file is 0600 all the same.
    """
    return json.dumps(
        {
            "vhosts": [{"name": VHOST}],
            "users": [
                {
                    "name": TOPOLOGY_USER,
                    "password_hash": password_hash(password, salt),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "administrator",
                }
            ],
            "permissions": [{"user": TOPOLOGY_USER, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}],
        },
        indent=1,
    )
