"""The inbox, registering and returning, the quarantine and the look-ups, through the local API."""

import re

import pytest

from tests.support.running_adapter import ARABIC_SUBJECT, RunningAdapter

CLERK = "كاتب السجل العام"


def test_an_arrived_letter_is_listed_and_shown(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    item = adapter.get("/v1/inbox?limit=1").json()["items"][0]
    assert (item["id"], item["sender"], item["state"], item["subject"]) == (
        letter_id,
        "MPW",
        "received",
        ARABIC_SUBJECT,
    )
    shown = adapter.get(f"/v1/letters/{letter_id}").json()
    assert shown["direction"] == "incoming"
    assert shown["letter"]["sender"]["agency"] == "MPW"


def test_unknown_members_of_an_arrived_letter_are_shown_as_not_understood(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive(claims={"from_the_future": 1, "a/b": {"c": 2}})
    shown = adapter.get(f"/v1/letters/{letter_id}").json()
    assert set(shown["not_understood"]) == {"/from_the_future", "/a~1b"}
    assert shown["letter"]["from_the_future"] == 1


def test_registering_gives_the_next_number_and_is_on_the_timeline(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    reply = adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK, "unit": "الحسابات"})
    assert reply.status == 201
    registered = reply.json()
    assert registered["sender"] == "MPW"
    assert registered["incoming_no"].startswith(f"MOF/IN/{adapter.year}/")
    events = [entry["event"] for entry in adapter.get(f"/v1/letters/{letter_id}/timeline").json()["entries"]]
    assert events == ["issued", "arrived", "delivered", "registered"]
    item = adapter.get(f"/v1/letters/{letter_id}").json()
    assert (item["state"], item["registered_by"], item["unit"]) == ("registered", CLERK, "الحسابات")


def test_a_letter_is_registered_once(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK})
    problem = adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK}).problem(409)
    assert problem["code"] == "already_registered"


def test_an_incoming_number_is_not_given_twice(adapter: RunningAdapter) -> None:
    act = {"registered_by": CLERK, "incoming_no": "و/12"}
    assert adapter.post(f"/v1/inbox/{adapter.arrive()}/registration", act).status == 201
    problem = adapter.post(f"/v1/inbox/{adapter.arrive()}/registration", act).problem(409)
    assert (problem["code"], problem["pointer"]) == ("incoming_number_taken", "/incoming_no")


def test_returning_takes_a_coded_reason(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    reply = adapter.post(
        f"/v1/inbox/{letter_id}/return",
        {"returned_by": CLERK, "reason": "not_competent", "note": "الجهة المختصة هي البلدية"},
    )
    assert reply.status == 201
    assert reply.json()["reason"] == "not_competent"
    item = adapter.get(f"/v1/letters/{letter_id}").json()
    assert (item["state"], item["return_reason"]) == ("returned", "not_competent")


def test_a_returned_letter_is_neither_registered_nor_returned_again(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    act = {"returned_by": CLERK, "reason": "duplicate"}
    adapter.post(f"/v1/inbox/{letter_id}/return", act)
    again = adapter.post(f"/v1/inbox/{letter_id}/return", act)
    assert again.problem(409)["code"] == "already_returned"
    registered = adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK})
    assert registered.problem(409)["code"] == "already_returned"


def test_two_senders_letters_with_one_id_are_told_apart(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive(sender="MPW")
    adapter.arrive(sender="SAB", claims={"id": letter_id})
    act = {"registered_by": CLERK}
    problem = adapter.post(f"/v1/inbox/{letter_id}/registration", act).problem(409)
    assert problem["code"] == "sender_ambiguous"
    reply = adapter.post(f"/v1/inbox/{letter_id}/registration", act | {"sender": "SAB"})
    assert reply.json()["sender"] == "SAB"


@pytest.mark.parametrize(
    ("path", "act", "code", "pointer"),
    [
        ("registration", {}, "member_missing", "/registered_by"),
        ("registration", {"registered_by": 7}, "value_wrong_type", "/registered_by"),
        ("registration", {"registered_by": CLERK, "clerk": 1}, "unknown_member", "/clerk"),
        ("registration", {"registered_by": "a\u202eb"}, "text_forbidden_character", "/registered_by"),
        ("registration", {"registered_by": CLERK, "sender": "mpw"}, "schema_invalid", "/sender"),
        ("return", {"returned_by": CLERK}, "member_missing", "/reason"),
        ("return", {"returned_by": CLERK, "reason": "tired"}, "value_not_listed", "/reason"),
        (
            "return",
            {"returned_by": CLERK, "reason": "illegible", "note": "n" * 501},
            "value_out_of_range",
            "/note",
        ),
    ],
)
def test_an_act_that_is_not_complete_is_refused(
    adapter: RunningAdapter, path: str, act: dict[str, object], code: str, pointer: str
) -> None:
    problem = adapter.post(f"/v1/inbox/{adapter.arrive()}/{path}", act).problem(422)
    assert (problem["code"], problem["pointer"]) == (code, pointer)
    assert not re.search(" or |…|[a-z]{2,} [a-z]{2,}", problem["detail_ar"]), "no English, and nothing left out"


def test_acting_on_a_letter_that_never_arrived_is_not_found(adapter: RunningAdapter) -> None:
    outgoing = adapter.send()
    for letter_id in (outgoing, "nothing"):
        reply = adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK})
        assert reply.problem(404)["code"] == "letter_not_found"


def test_the_inbox_is_paged_and_filtered(adapter: RunningAdapter) -> None:
    arrived = [adapter.arrive() for _ in range(3)]
    adapter.post(f"/v1/inbox/{arrived[1]}/registration", {"registered_by": CLERK})
    first = adapter.get("/v1/inbox?limit=2").json()
    assert [item["id"] for item in first["items"]] == [arrived[2], arrived[1]]
    second = adapter.get(f"/v1/inbox?limit=1&cursor={first['next']}").json()
    assert second["items"][0]["id"] == arrived[0]
    registered = adapter.get("/v1/inbox?state=registered&limit=1").json()["items"]
    assert registered[0]["id"] == arrived[1]
    assert adapter.get("/v1/inbox?state=lost").problem(422)["code"] == "parameter_invalid"


def test_what_is_not_authentic_stands_in_the_quarantine(adapter: RunningAdapter) -> None:
    adapter.forge(publisher="SAB")
    entry = adapter.get("/v1/quarantine?limit=1").json()["items"][0]
    assert (entry["publisher"], entry["reason"], entry["authentic"]) == ("SAB", "token_malformed", False)
    assert entry["received_at"].endswith("+03:00")
    assert adapter.get("/v1/quarantine?state=x").problem(422)["code"] == "parameter_unknown"


def test_the_directory_is_listed_with_both_names(adapter: RunningAdapter) -> None:
    listing = adapter.get("/v1/directory").json()
    by_code = {entry["code"]: entry for entry in listing["agencies"]}
    assert listing["version"] >= 1
    assert listing["valid_until"].endswith("+03:00")
    assert by_code["MPW"]["status"] == "active"
    assert by_code["MPW"]["name_ar"]
    assert by_code["MPW"]["name_en"]


def test_gaps_are_listed_by_direction_and_year(adapter: RunningAdapter) -> None:
    listing = adapter.get("/v1/numbers/outgoing/gaps").json()
    assert (listing["direction"], listing["year"], listing["gaps"]) == ("outgoing", adapter.year, [])
    assert adapter.get("/v1/numbers/incoming/gaps?year=2020").json()["year"] == 2020
    assert adapter.get("/v1/numbers/sideways/gaps").problem(422)["code"] == "parameter_invalid"
    assert adapter.get("/v1/numbers/outgoing/gaps?year=99999").problem(422)["code"] == "parameter_invalid"


def test_the_timeline_says_number_clerk_and_note_as_the_signed_receipts_do(adapter: RunningAdapter) -> None:
    letter_id = adapter.arrive()
    registered = adapter.post(f"/v1/inbox/{letter_id}/registration", {"registered_by": CLERK}).json()
    note = "الجهة المختصة هي البلدية"
    act = {"returned_by": CLERK, "reason": "not_competent", "note": note}
    adapter.post(f"/v1/inbox/{letter_id}/return", act)
    steps = {entry["event"]: entry for entry in adapter.get(f"/v1/letters/{letter_id}/timeline").json()["entries"]}
    assert (steps["registered"]["number"], steps["registered"]["by"]) == (registered["incoming_no"], CLERK)
    assert (steps["returned"]["reason"], steps["returned"]["by"], steps["returned"]["note"]) == (
        "not_competent",
        CLERK,
        note,
    )
    assert not any(entry["conflict"] for entry in steps.values())


def test_a_letter_that_bears_the_id_of_our_own_is_shown_when_its_sender_is_named(adapter: RunningAdapter) -> None:
    """Agencies choose ids by themselves: a hostile one may choose ours, and must be able to hide nothing by it."""
    own = adapter.send(recipients=[{"agency": "MPW"}])
    adapter.arrive(claims={"id": own})
    assert adapter.get(f"/v1/letters/{own}").json()["direction"] == "outgoing"
    assert adapter.get(f"/v1/letters/{own}?sender=MOF").json()["direction"] == "outgoing"
    arrived = adapter.get(f"/v1/letters/{own}?sender=MPW").json()
    assert (arrived["direction"], arrived["sender"]) == ("incoming", "MPW")
    assert arrived["letter"]["sender"]["agency"] == "MPW"
    steps = adapter.get(f"/v1/letters/{own}/timeline?sender=MPW").json()["entries"]
    assert [step["event"] for step in steps] == ["issued", "arrived", "delivered"]
    bytes_of = {sender: adapter.get(f"/v1/letters/{own}/jws?sender={sender}").body for sender in ("MOF", "MPW")}
    assert bytes_of["MOF"] != bytes_of["MPW"]
    assert adapter.get(f"/v1/letters/{own}?sender=SAB").problem(404)["code"] == "letter_not_found"


@pytest.mark.parametrize("what", ["", "/timeline", "/jws"])
def test_of_two_letters_with_one_id_neither_is_shown_for_the_other(adapter: RunningAdapter, what: str) -> None:
    letter_id = adapter.arrive("MPW")
    adapter.arrive("SAB", claims={"id": letter_id})
    assert adapter.get(f"/v1/letters/{letter_id}{what}").problem(409)["code"] == "sender_ambiguous"
    assert adapter.get(f"/v1/letters/{letter_id}{what}?sender=SAB").status == 200


def test_what_is_no_code_names_no_sender(adapter: RunningAdapter) -> None:
    problem = adapter.get(f"/v1/letters/{adapter.arrive()}?sender=mpw").problem(422)
    assert problem["code"] == "parameter_invalid"
