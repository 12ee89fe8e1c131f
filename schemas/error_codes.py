"""The codes of every refusal and failure that a person or a machine is told.

A code is stable: once published it keeps its meaning. Its texts stand in :mod:`schemas.error_texts`, in the
module of its group; an unpublished code without texts fails a test.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What is said with a code: what is wrong and what to do next, in Arabic and English.

    Attributes:
        status: HTTP status of the problem, where it is answered over HTTP (RFC 9457).
        ar, en: what is wrong; ``{param}`` stands for a detail.
        next_ar, next_en: the next step of the one who reads it.
    """

    status: int
    ar: str
    en: str
    next_ar: str
    next_en: str


class ErrorCode(StrEnum):
    """Grouped as the modules of :mod:`schemas.error_texts` are."""

    # letter: what the sender's own adapter refuses, and the local API
    ALREADY_REGISTERED = "already_registered"
    ALREADY_RETURNED = "already_returned"
    ATTACHMENTS_NOT_AVAILABLE = "attachments_not_available"
    BODY_TOO_LARGE = "body_too_large"
    CHECKLIST_INCOMPLETE = "checklist_incomplete"
    CIVIL_NUMBER_INVALID = "civil_number_invalid"
    CURSOR_INVALID = "cursor_invalid"
    DEADLINE_OUT_OF_RANGE = "deadline_out_of_range"
    ENCRYPTION_REQUIRED = "encryption_required"
    HIJRI_DATE_MISMATCH = "hijri_date_mismatch"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    INCOMING_NUMBER_TAKEN = "incoming_number_taken"
    LETTER_NOT_FOUND = "letter_not_found"
    OUTGOING_NUMBER_TAKEN = "outgoing_number_taken"
    RECIPIENT_CLOSED = "recipient_closed"
    RECIPIENT_IS_SENDER = "recipient_is_sender"
    RECIPIENT_SUSPENDED = "recipient_suspended"
    RECIPIENT_TWICE = "recipient_twice"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    SCHEMA_INVALID = "schema_invalid"
    SENDER_AMBIGUOUS = "sender_ambiguous"
    SENDER_NOT_ACTIVE = "sender_not_active"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    TEXT_FORBIDDEN_CHARACTER = "text_forbidden_character"
    TYPE_NOT_ACCEPTED = "type_not_accepted"
    TYPE_UNKNOWN = "type_unknown"
    UNAUTHORISED = "unauthorised"
    UNKNOWN_MEMBER = "unknown_member"

    # token: signatures, keys, the directory, JSON
    ALGORITHM_MISMATCH = "algorithm_mismatch"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    BASE64URL_INVALID = "base64url_invalid"
    CERTIFICATE_DIGEST_MISMATCH = "certificate_digest_mismatch"
    CERTIFICATE_UNREADABLE = "certificate_unreadable"
    CHAIN_INVALID = "chain_invalid"
    DIRECTORY_EXPIRED = "directory_expired"
    DIRECTORY_FORKED = "directory_forked"
    DIRECTORY_MALFORMED = "directory_malformed"
    DIRECTORY_ROLLED_BACK = "directory_rolled_back"
    DIRECTORY_UNREADABLE = "directory_unreadable"
    HEADER_MEMBER_DUPLICATE = "header_member_duplicate"
    HEADER_MEMBER_FORBIDDEN = "header_member_forbidden"
    HEADER_MEMBER_INVALID = "header_member_invalid"
    ISSUED_IN_FUTURE = "issued_in_future"
    JSON_MALFORMED = "json_malformed"
    KEY_COMPROMISED = "key_compromised"
    KEY_EXPIRED = "key_expired"
    KEY_NOT_YET_VALID = "key_not_yet_valid"
    KEY_REVOKED = "key_revoked"
    KEY_UNKNOWN = "key_unknown"
    KEY_UNREADABLE = "key_unreadable"
    KEY_WRONG_PURPOSE = "key_wrong_purpose"
    LOG_PROOF_WRONG = "log_proof_wrong"
    NOTE_MALFORMED = "note_malformed"
    NOTE_NOT_SIGNED = "note_not_signed"
    NUMBER_NOT_FINITE = "number_not_finite"
    NUMBER_NOT_INTEGER = "number_not_integer"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    PAYLOAD_MEMBER_DUPLICATE = "payload_member_duplicate"
    PAYLOAD_NOT_OBJECT = "payload_not_object"
    PAYLOAD_TOO_DEEP = "payload_too_deep"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    SIGNATURE_INVALID = "signature_invalid"
    SIGNER_NOT_LAWFUL = "signer_not_lawful"
    SURROGATE_LONE = "surrogate_lone"
    TEXT_NOT_NFC = "text_not_nfc"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a code, not a password
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105 - a code, not a password
    TOKEN_TYPE_WRONG = "token_type_wrong"  # noqa: S105 - a code, not a password

    # broker: RabbitMQ, its topology, the session
    BROKER_BLOCKED = "broker_blocked"
    BROKER_REFUSED = "broker_refused"
    BROKER_UNREACHABLE = "broker_unreachable"
    DISK_TOO_SMALL = "disk_too_small"
    NODE_NOT_STARTED = "node_not_started"
    NOT_CONNECTED = "not_connected"
    QUEUE_NOT_EMPTY = "queue_not_empty"
    RABBITMQ_NOT_FOUND = "rabbitmq_not_found"
    TOPOLOGY_DRIFT = "topology_drift"

    # operation: settings, stores, readiness
    AGENCY_UNKNOWN = "agency_unknown"
    ALREADY_BOOTSTRAPPED = "already_bootstrapped"
    DEAD_LETTER_NOT_FOUND = "dead_letter_not_found"
    JOURNAL_GAP_NOT_FOUND = "journal_gap_not_found"
    MARK_INVALID = "mark_invalid"
    NOT_IN_THE_LOG = "not_in_the_log"
    NOT_REACHABLE = "not_reachable"
    NOT_READY = "not_ready"
    OUTPUT_UNWRITABLE = "output_unwritable"
    SETTINGS_INVALID = "settings_invalid"
    STORAGE_FULL = "storage_full"
    STORE_FOREIGN = "store_foreign"
    STORE_LOCKED = "store_locked"
    STORE_MISSING = "store_missing"
    STORE_NEWER = "store_newer"
    STORE_OLDER = "store_older"
    STORE_UNAVAILABLE = "store_unavailable"

    # api: the local API and its client
    ANSWER_UNREADABLE = "answer_unreadable"
    API_ADDRESS_UNUSABLE = "api_address_unusable"
    API_TOKEN_UNUSABLE = "api_token_unusable"  # noqa: S105 - a code, not a password
    FILE_UNREADABLE = "file_unreadable"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    INTERNAL = "internal"
    MEDIA_TYPE_WRONG = "media_type_wrong"
    MEMBER_MISSING = "member_missing"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_FOUND = "not_found"
    OUTCOME_PENDING = "outcome_pending"
    PARAMETER_INVALID = "parameter_invalid"
    PARAMETER_UNKNOWN = "parameter_unknown"
    REQUEST_MALFORMED = "request_malformed"
    REQUEST_TIMEOUT = "request_timeout"
    VALUE_NOT_LISTED = "value_not_listed"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    VALUE_WRONG_TYPE = "value_wrong_type"
