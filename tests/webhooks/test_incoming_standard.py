"""Scheme `standard`: signatures of Standard Webhooks, created by its official package."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from providers.models import WebhookSecret
from tests.cast import Third, accepted, clear_caches, make_provider, now
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, recorded, refusals, send, send_signed, signed, words
from transactions.snapshot import TransactionSnapshot
from webhooks.models import RefusalCount
from workers import clock
from workers.foundation.webhook_secrets import new_secret

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


@pytest.fixture
def noon(monkeypatch) -> datetime:
    """Freeze the clock of the authentication at noon."""
    monkeypatch.setattr(clock.database, "now", lambda: NOON)
    return NOON


def refused(body: bytes, headers: dict[str, str], reason: str) -> None:
    """Assert that it is answered 401 and only a count is stored."""
    before = everything()
    problem(send("/webhooks/third", body, headers), 401, "webhook-not-authentic")
    assert everything() == before
    assert refusals() == {reason: 1}


def test_signatures_of_the_official_package_are_accepted(third, record):
    assert send_signed(third, words(record.id)).status_code == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_it_refuses_a_webhook_without_one_of_its_headers(third, record, missing):
    body = words(record.id)
    headers = signed(third.secret, body)

    refused(body, {name: value for name, value in headers.items() if name != missing}, "missing_headers")


@pytest.mark.parametrize("empty", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_it_refuses_a_webhook_with_an_empty_header(third, record, empty):
    body = words(record.id)

    refused(body, {**signed(third.secret, body), empty: ""}, "missing_headers")


def renamed(headers: dict[str, str], prefix: str, *parts: str) -> dict[str, str]:
    """The headers of Standard Webhooks, of which these parts (default: all) have another prefix."""
    kept = parts or ("id", "timestamp", "signature")
    return {
        f"{prefix}-{part}" if (part := name.partition("-")[2]) in kept else name: value
        for name, value in headers.items()
    }


@pytest.mark.parametrize("prefix", ["svix", "Svix", "SVIX", "Webhook", "WEBHOOK", "wEbHoOk"])
def test_the_headers_may_have_the_prefix_of_svix_in_any_case(third, record, prefix):
    body = words(record.id)

    assert send("/webhooks/third", body, renamed(signed(third.secret, body), prefix)).status_code == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize("parts", [("id",), ("timestamp",), ("signature",), ("id", "signature")])
def test_headers_of_both_prefixes_do_not_complete_each_other(third, record, parts):
    body = words(record.id)

    refused(body, renamed(signed(third.secret, body), "svix", *parts), "missing_headers")


@pytest.mark.parametrize("part", ["id", "timestamp", "signature"])
def test_a_valid_part_under_the_other_prefix_does_not_help(third, record, part):
    body = words(record.id)
    right = signed(third.secret, body)
    wrong = signed(new_secret(), body, id="msg_2", at=datetime.now(UTC) - timedelta(seconds=9))
    mixed = wrong | renamed(wrong, "svix") | {f"svix-{part}": right[f"webhook-{part}"]}

    refused(body, mixed, "wrong_signature")


@pytest.mark.parametrize("valid", ["webhook", "svix"])
def test_each_prefix_alone_proves_the_webhook(third, record, valid):
    body = words(record.id)
    headers = renamed(signed(new_secret(), body), "svix" if valid == "webhook" else "webhook")

    assert send("/webhooks/third", body, headers | renamed(signed(third.secret, body), valid)).status_code == 204


def test_it_refuses_an_unsigned_webhook(third, record):
    refused(words(record.id), {}, "missing_headers")


@pytest.mark.parametrize(
    "timestamp",
    ["noon", "1.5", "-1", "+1768046400", "1e9", "0x1", "1 2", "9" * 16, "9" * 5000, "²", "1768046400Z", "nan"],
)
def test_it_refuses_a_timestamp_that_is_not_a_number_of_seconds(third, record, noon, timestamp):
    body = words(record.id)

    refused(body, {**signed(third.secret, body, at=noon), "webhook-timestamp": timestamp}, "malformed_headers")


@pytest.mark.parametrize("seconds", [-(10**6), -301, 301, 10**6])
def test_it_refuses_a_timestamp_more_than_300_s_off(third, record, noon, seconds):
    body = words(record.id)

    refused(body, signed(third.secret, body, at=noon + timedelta(seconds=seconds)), "stale_timestamp")


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_it_takes_a_timestamp_up_to_300_s_off(third, record, noon, seconds):
    assert send_signed(third, words(record.id), at=noon + timedelta(seconds=seconds)).status_code == 204


def test_the_epoch_is_a_stale_timestamp(third, record):
    body = words(record.id)

    refused(body, signed(third.secret, body, at=datetime.fromtimestamp(0, UTC)), "stale_timestamp")


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": "msg_1 "},
        {"webhook-timestamp": str(int(NOON.timestamp()) + 1)},
        {"webhook-timestamp": "0" + str(int(NOON.timestamp()))},
    ],
)
def test_it_refuses_tampered_headers(third, record, noon, change):
    body = words(record.id)
    headers = signed(third.secret, body, at=noon) | change
    if change == {"webhook-id": "msg_1 "}:
        headers["webhook-id"] = "msg_1x"  # a server takes spaces around a value away

    refused(body, headers, "wrong_signature")


@pytest.mark.parametrize("change", [(b"completed", b"declined"), (b"{", b"{ "), (b"}", b"}\n"), (b'"id"', b'"ID"')])
def test_it_refuses_a_tampered_body(third, record, change):
    body = words(record.id)

    refused(body.replace(*change), signed(third.secret, body), "wrong_signature")


def test_a_signature_is_valid_for_its_body_only(third, record, alice):
    other = words(accepted(alice, third).id)

    refused(words(record.id), signed(third.secret, other), "wrong_signature")


@pytest.mark.parametrize(
    "shape",
    ["{0}", "v1,", "v1", ",", ",{0}", "v2,{0}", "v1a,{0}", "V1,{0}", "v1;{0}", "v1, {0}", "v1,{0}=", "v1,x{0}",
     "v1,{1}", "v1,é", "v1,{0},", "v1,v1,{0}"],
)  # fmt: skip
def test_it_refuses_a_malformed_signature(third, record, shape):
    body = words(record.id)
    headers = signed(third.secret, body)
    mark = headers["webhook-signature"].removeprefix("v1,")
    as_hex = base64.b64decode(mark).hex()

    refused(body, {**headers, "webhook-signature": shape.format(mark, as_hex)}, "wrong_signature")


def test_it_refuses_the_signature_of_another_secret(third, record):
    body = words(record.id)

    refused(body, signed(new_secret(), body), "wrong_signature")


def test_it_refuses_the_signature_of_another_provider(third, record):
    body = words(record.id)

    refused(body, signed(make_provider("other").secret, body), "wrong_signature")


@pytest.mark.parametrize(
    "others",
    [
        "{} v1,d3Jvbmc=",
        "v1,d3Jvbmc= {}",
        "v1,d3Jvbmc= v1,{}x {}",
        "v1a,d3Jvbmc= {}",
        "v2,x v3,y {}",
        "nonsense {}",
        "  {}  ",
    ],
)
def test_one_good_signature_among_several_is_enough(third, record, others):
    body = words(record.id)
    headers = signed(third.secret, body)
    headers["webhook-signature"] = others.format(*[headers["webhook-signature"]] * others.count("{}"))

    assert send("/webhooks/third", body, headers).status_code == 204


def rotate(third: Third, *, ends_in: timedelta) -> Third:
    """The provider with a new secret; the old one expires in `ends_in`."""
    third.provider.webhook_secrets.update(expires_at=datetime.now(UTC) + ends_in)
    secret = new_secret()
    WebhookSecret.objects.create(provider=third.provider, secret=secret)
    clear_caches()
    return Third(third.provider, secret)


def test_old_and_new_secret_are_accepted_during_a_rotation(third, alice):
    rotated = rotate(third, ends_in=HOUR)

    for n, signer in enumerate([third, rotated]):
        body = words(accepted(alice, third).id)
        assert send_signed(signer, body, id=f"msg_{n}").status_code == 204


def test_a_webhook_signed_with_both_secrets_counts_once(third, record):
    rotated, body = rotate(third, ends_in=HOUR), words(record.id)
    headers = signed(third.secret, body)
    headers["webhook-signature"] += " " + signed(rotated.secret, body)["webhook-signature"]

    assert send("/webhooks/third", body, headers).status_code == 204
    assert recorded() == ["applied"]


def test_an_expired_secret_is_refused(third, record):
    rotate(third, ends_in=-HOUR)
    body = words(record.id)

    refused(body, signed(third.secret, body), "wrong_signature")


def test_a_provider_without_secrets_is_always_refused(third, record):
    third.provider.webhook_secrets.all().delete()
    clear_caches()
    body = words(record.id)

    refused(body, signed(third.secret, body), "wrong_signature")


@pytest.mark.parametrize("length", [1, 255])
def test_an_id_may_have_255_characters(third, record, length):
    assert send_signed(third, words(record.id), id="x" * length).status_code == 204


def test_it_refuses_an_id_that_is_too_long(third, record):
    body = words(record.id)

    refused(body, signed(third.secret, body, id="x" * 256), "malformed_headers")


def test_refusals_are_counted_by_reason_and_day(third, record):
    body = words(record.id)
    for _ in range(3):
        send("/webhooks/third", body)
    send("/webhooks/third", body, signed(new_secret(), body))

    assert refusals() == {"missing_headers": 3, "wrong_signature": 1}
    assert set(RefusalCount.objects.values_list("provider", "day")) == {(third.provider.pk, datetime.now(UTC).date())}


def test_a_refusal_does_not_reveal_its_reason(third, record):
    body = words(record.id)
    missing = send("/webhooks/third", body)
    wrong = send("/webhooks/third", body, signed(new_secret(), body))

    assert missing.content == wrong.content


def test_an_authentic_webhook_is_not_counted_as_a_refusal(third, record):
    send_signed(third, words(record.id))

    assert refusals() == {}


def test_the_address_with_a_token_does_not_replace_a_signature(third, record):
    from providers.webhook_urls import url_tokens

    answer = send(f"/webhooks/third/{record.id}/{url_tokens('third', record.id)[0]}", words(record.id))

    problem(answer, 401, "webhook-not-authentic")
    assert recorded() == []
