"""Bodies of authentic webhooks, and the provider's settings for the paths of id and status."""

import json

import pytest

from providers.models import Provider
from tests.cast import Third, accepted, make_client, make_provider, now
from tests.transactions.api.callers import LARGEST, problem
from tests.webhooks.senders import everything, recorded, refusals, send, send_signed, tell, words
from transactions.snapshot import TransactionSnapshot
from webhooks.models import RefusalCount, Webhook
from workers.foundation.ids import uuid7

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


def sized(record: TransactionSnapshot, size: int) -> bytes:
    body = words(record.id)
    return body + b" " * (size - len(body))


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nothing", b"id=1&status=completed", b"<xml/>", b"\x00", b"\xff\xfe\xfd",
        b'{"id": "\xff", "status": "completed"}', b'{"id": "a\x00", "status": "completed"}',
        b"null", b"true", b"1", b'"text"', b"[]", b'[{"id": "a", "status": "completed"}]', b"{}",
        b"[" * 60_000, b'{"id":' * 9000,
    ],
)  # fmt: skip
def test_a_body_that_is_not_a_json_object_is_refused(third, body):
    problem(send_signed(third, body), 400, "invalid")

    assert recorded() == []
    assert refusals() == {"malformed": 1}


@pytest.mark.parametrize("id_", ["", None, 1, 1.5, True, [], {}, ["a"]])
def test_an_id_that_is_not_a_string_is_refused(third, id_):
    problem(send_signed(third, json.dumps({"id": id_, "status": "completed"}).encode()), 400, "invalid")


@pytest.mark.parametrize("status", [None, True, False, 1.5, [], {}, ["completed"], {"status": "completed"}])
def test_a_status_that_is_neither_string_nor_integer_is_refused(third, record, status):
    before = everything()

    problem(send_signed(third, words(record.id, status)), 400, "invalid")
    assert everything() == before


@pytest.mark.parametrize("missing", ["id", "status"])
def test_a_body_without_id_or_status_is_refused_by_the_fields_name(third, record, missing):
    body = {"id": str(record.id), "status": "completed"}
    del body[missing]

    assert missing in problem(send_signed(third, json.dumps(body).encode()), 400, "invalid")["detail"]


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\udfff", "ab\ud83d"])
def test_text_that_the_database_cannot_store_is_never_applied(third, record, text):
    for n, body in enumerate([words(text), words(record.id, text), words(record.id, "pending", more={text: text})]):
        assert send_signed(third, body, id=f"msg_{n}").status_code in (204, 400)

    assert now(record).status == "pending"
    assert "applied" not in recorded()


@pytest.mark.parametrize(
    "status", ["completed\x00", "complet\x00ed", "completed\ud800", "COMPLETED", " completed", "final"]
)
def test_a_status_must_match_exactly(third, record, status):
    send_signed(third, words(record.id, status))

    assert (now(record).status, now(record).review) == ("pending", "unmapped")


def test_other_fields_of_the_body_are_ignored(third, record):
    assert send_signed(third, words(record.id, amount=-1, nested={"id": "x"}, text="é€𝄞")).status_code == 204
    assert now(record).status == "completed"


def test_the_body_is_stored_unchanged(third, record):
    body = b' {"status" : "completed",\r\n "id":"%s", "text": "\xc3\xa9"} ' % str(record.id).encode()

    send_signed(third, body)

    assert Webhook.objects.get().body.encode() == body


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_the_content_type_is_ignored(client, third, record, content_type):
    from tests.webhooks.senders import signed

    body = words(record.id)
    answer = client.generic("POST", "/webhooks/third", body, content_type, headers=signed(third.secret, body))

    assert answer.status_code == 204
    assert now(record).status == "completed"


def test_a_body_of_64_kib_is_taken(third, record):
    assert send_signed(third, sized(record, LARGEST)).status_code == 204


def test_a_larger_body_is_refused(third, record):
    before = everything()

    problem(send_signed(third, sized(record, LARGEST + 1)), 413, "body-too-large")
    assert everything() == before
    assert refusals() == {"too_large": 1}


@pytest.mark.parametrize("slug", ["nobody", "THIRD", "x" * 300])
def test_an_unknown_provider_is_answered_404(third, record, slug):
    before = everything()

    problem(send(f"/webhooks/{slug}", words(record.id)), 404, "not-found")
    problem(send(f"/webhooks/{slug}/{record.id}/token", words(record.id)), 404, "not-found")
    assert everything() == before
    assert refusals() == {"unknown_provider": 2}


def test_unknown_providers_share_one_row_of_counts(db):
    for n in range(5):
        send(f"/webhooks/stranger-{n}", b"")

    assert list(RefusalCount.objects.values("provider", "count")) == [{"provider": None, "count": 5}]


def another(**fields: object) -> tuple[Third, TransactionSnapshot]:
    """A provider with these settings, and a transaction there."""
    third = make_provider("another", **fields)
    return third, accepted(make_client("bob", third.provider), third)


def test_id_and_status_are_found_where_the_settings_say():
    third, record = another(webhook_id_field="data.object.ref", webhook_status_field="data.state")
    body = {"id": str(uuid7()), "status": "declined", "data": {"object": {"ref": str(record.id)}, "state": "completed"}}

    send_signed(third, json.dumps(body).encode())

    assert now(record).status == "completed"
    assert Webhook.objects.get().given_id == str(record.id)


@pytest.mark.parametrize("data", [None, "text", [], [{"ref": "x"}], {"ref": None}, {}])
def test_a_body_without_the_configured_path_is_refused(data):
    third, _ = another(webhook_id_field="data.ref")

    answer = send_signed(third, json.dumps({"data": data, "status": "completed"}).encode())

    assert "data.ref" in problem(answer, 400, "invalid")["detail"]


@pytest.mark.parametrize(
    ("word", "status"),
    [("OK", "completed"), ("KO", "declined"), ("ERR", "failed"), ("...", "pending"), (1, "completed"), (-1, "failed")],
)
def test_the_status_map_translates_the_providers_statuses(word, status):
    words_ = {"OK": "completed", "KO": "declined", "ERR": "failed", "...": "pending", "1": "completed", "-1": "failed"}
    third, record = another(status_map=words_)

    send_signed(third, words(record.id, word))

    assert (now(record).status, now(record).review) == (status, "")
    assert Webhook.objects.get().word == str(word)


@pytest.mark.parametrize("word", ["completed", "ok", "OK ", 2])
def test_a_status_that_the_map_lacks_is_flagged(word):
    third, record = another(status_map={"OK": "completed"})

    send_signed(third, words(record.id, word))

    assert (now(record).status, now(record).review) == ("pending", "unmapped")


def test_a_changed_map_counts_for_the_next_webhook(third, record):
    from tests.cast import clear_caches

    tell(third, record.id, "OK", webhook="msg_1")
    Provider.objects.update(status_map={"OK": "completed"})
    clear_caches()
    tell(third, record.id, "OK", webhook="msg_2")

    assert recorded() == ["noted", "applied"]
