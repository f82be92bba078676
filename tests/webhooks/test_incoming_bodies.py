"""Bodies of authentic webhooks, and the provider's settings for the paths of id and status."""

import json

import pytest

from providers.models import Provider
from tests.cast import Third, accepted, make_client, make_provider, now
from tests.running import change
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
        b"{", b"nothing", b"id=1&status=completed", b"<xml/>", b"\xff\xfe\xfd", b"{\xff}", b'{"id": \xff"a"}', b"NULL",
        b"[" * 60_000, b'{"id":' * 9000, b'"' + b'\\"' * 30_000, b"[" * 2000 + b'"' + b'\\"' * 30_000, b"]" * 60_000,
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_parsed_is_refused(third, body):
    problem(send_signed(third, body), 400, "invalid")

    assert recorded() == []
    assert refusals() == {"malformed": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"\r\n", b"\xef\xbb\xbf", b"\x00", b"null", b"true", b"1", b"1e999", b"NaN", b'"ping"', b"[]", b"{}",
        b'[{"id": "a", "status": "completed"}]', b'{"type": "ping"}', b'{"event": "unknown", "id": null}',
    ],
)  # fmt: skip
def test_a_ping_or_another_event_is_ignored(third, body):
    assert send_signed(third, body).status_code == 204

    assert recorded() == ["ignored"]
    assert refusals() == {}


@pytest.mark.parametrize("id_", ["", " ", None, True, False, [], {}, ["a"]])
def test_a_body_without_a_usable_id_is_ignored(third, record, id_):
    before = everything()[:3]

    send_signed(third, json.dumps({"id": id_, "status": "completed"}).encode())

    assert (everything()[:3], recorded()) == (before, ["ignored"])


@pytest.mark.parametrize("id_", [1, -7, 1.5, 10**200, float("inf"), float("nan"), "a" * 5000, "{}", "urn:uuid:"])
def test_an_id_of_another_form_is_unmatched(third, id_):
    send_signed(third, json.dumps({"id": id_, "status": "completed"}).encode())

    assert recorded() == ["unmatched"]


@pytest.mark.parametrize("form", ["{}", "{{{}}}", " {} ", "urn:uuid:{}"])
@pytest.mark.parametrize("written", [str, lambda id_: str(id_).upper(), lambda id_: id_.hex])
def test_an_id_is_read_in_every_notation_of_a_uuid(third, record, form, written):
    tell(third, form.format(written(record.id)))

    assert now(record).status == "completed"


@pytest.mark.parametrize("status", [None, "", " ", [], {}, ["completed"], {"status": "completed"}])
def test_a_body_without_a_usable_status_is_ignored_and_shown_with_its_transaction(third, record, status):
    before = everything()[:3]

    send_signed(third, words(record.id, status))

    assert everything()[:3] == before
    assert list(Webhook.objects.values_list("result", "transaction_id")) == [("ignored", record.id)]


def test_an_ignored_webhook_about_another_providers_transaction_does_not_name_it(third, record):
    other = make_provider("other")

    send_signed(other, words(record.id, None))

    assert list(Webhook.objects.values_list("result", "transaction_id")) == [("ignored", None)]


@pytest.mark.parametrize("missing", ["id", "status"])
def test_a_body_without_id_or_status_is_ignored(third, record, missing):
    body = {"id": str(record.id), "status": "completed"}
    del body[missing]

    send_signed(third, json.dumps(body).encode())

    assert (now(record).status, recorded()) == ("pending", ["ignored"])


@pytest.mark.parametrize("field", ["webhook_id_field", "webhook_status_field"])
def test_a_webhook_repeated_after_its_settings_are_corrected_is_applied(third, record, field):
    change(third, **{field: "elsewhere"})
    tell(third, record.id)
    tell(third, record.id)
    change(third, **{field: field.split("_")[1]})

    tell(third, record.id)
    tell(third, record.id)

    assert now(record).status == "completed"
    assert list(Webhook.objects.values_list("result", "repeats", "given_id")) == [("applied", 3, str(record.id))]


@pytest.mark.parametrize("later", [b"", b"[]", words("unknown")])
def test_a_webhook_that_had_an_effect_is_not_recorded_anew(third, record, later):
    tell(third, record.id)

    send_signed(third, later)

    assert list(Webhook.objects.values_list("result", "repeats")) == [("applied", 1)]


@pytest.mark.parametrize(
    "rest",
    [
        b'"\xff"', b'"\x95\\"', b'"a\xe9b"', b'"\x00\x01\t\n"', b'"\\ud800\\u0000"', b"9" * 400, b"-" + b"9" * 5000,
        b"1e999", b"1." + b"9" * 5000, b"NaN", b"-Infinity", b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 2000 + b'"]"' + b"]" * 2000, b'{"x": 1, "x": 2}',
    ],
)  # fmt: skip
def test_a_fault_in_a_field_costs_only_this_field(third, record, rest):
    body = b'{"rest": %s, "id": "%s", "status": "failed", "reason": "Closed"}' % (rest, str(record.id).encode())

    assert send_signed(third, body).status_code == 204
    assert (now(record).status, now(record).failure_detail) == ("failed", "Closed")


@pytest.mark.parametrize("end", [b"\x00", b"\r\n\x00", b" \n"])
def test_what_ends_a_body_is_left_out(third, record, end):
    send_signed(third, words(record.id) + end)

    assert now(record).status == "completed"


@pytest.mark.parametrize(
    ("charset", "label"),
    [
        ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", ""), ("utf-32-be", ""), ("utf-8-sig", "latin-1"),
        ("utf-8", "UTF-8"),
        ("latin-1", "ISO-8859-1"), ("gbk", '"GBK"'), ("utf-16", "utf-16"), ("utf-8", "utf-16"), ("utf-8", "rot13"),
    ],
)  # fmt: skip
def test_bodies_in_other_charsets_are_read(third, record, charset, label):
    text = json.dumps({"id": str(record.id), "status": "failed", "reason": "é"}, ensure_ascii=False)
    body = text.encode(charset, "replace")

    answer = send_signed(third, body, content_type=f"application/json; charset={label}")

    assert answer.status_code == 204
    assert (now(record).status, now(record).failure_detail in ("é", "?")) == ("failed", True)
    assert Webhook.objects.get().body.startswith('{"id": ')


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\udfff", "ab\ud83d"])
def test_text_that_the_database_cannot_store_is_never_applied(third, record, text):
    for n, body in enumerate([words(text), words(record.id, text), words(record.id, "pending", more={text: text})]):
        assert send_signed(third, body, id=f"msg_{n}").status_code in (204, 400)

    assert now(record).status == "pending"
    assert "applied" not in recorded()


@pytest.mark.parametrize(
    "status", ["completed\x00", "complet\x00ed", "completed\ud800", "COMPLETED", "comp leted", "final"]
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


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense; charset"]
)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \r\n"])
def test_json_is_read_under_any_label(third, record, content_type, start):
    assert send_signed(third, start + words(record.id), content_type=content_type).status_code == 204
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

    assert refusals() == {"unknown_provider": 5}
    assert RefusalCount.objects.get().provider is None


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
def test_a_body_without_the_configured_path_is_ignored(data):
    third, _ = another(webhook_id_field="data.ref")

    assert send_signed(third, json.dumps({"data": data, "status": "completed"}).encode()).status_code == 204
    assert recorded() == ["ignored"]


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("OK", "completed"),
        ("KO", "declined"),
        ("ERR", "failed"),
        ("...", "pending"),
        (1, "completed"),
        (-1, "failed"),
        (True, "completed"),
        (False, "declined"),
        (2.0, "failed"),
        (" OK ", "completed"),
        ("true", "completed"),
    ],
)
def test_the_status_map_translates_the_providers_statuses(word, status):
    words_ = {"OK": "completed", "KO": "declined", "ERR": "failed", "...": "pending", "1": "completed", "-1": "failed",
              "true": "completed", "false": "declined", "2.0": "failed"}  # fmt: skip
    third, record = another(status_map=words_)

    send_signed(third, words(record.id, word))

    assert (now(record).status, now(record).review) == (status, "")
    assert Webhook.objects.get().word in words_


@pytest.mark.parametrize("status", ["declined", "failed"])
@pytest.mark.parametrize(
    "more", [{"reason": "Closed"}, {"error": {"message": "Closed"}}, {"errors": [{"code": 1, "detail": "Closed"}]}]
)
def test_the_providers_reason_is_kept(third, record, status, more):
    send_signed(third, words(record.id, status, **more))

    assert (now(record).failure_detail, bool(now(record).failure_code)) == ("Closed", True)


@pytest.mark.parametrize("word", ["completed", "ok", "O K", 2])
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
