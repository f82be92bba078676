"""Scheme `stripe`: signatures of Stripe, created and verified by its official package."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from providers.models import Provider
from tests.cast import Third, accepted, make_client, make_provider, now
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, recorded, refusals, send, signed_by_stripe, words
from transactions.snapshot import TransactionSnapshot
from webhooks.incoming.authentication import Refused, authenticate
from workers import clock

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SECRET = "whsec_test_secret of Stripe's"
needs_database = pytest.mark.django_db


@pytest.fixture
def shop(db) -> Third:
    """A provider that signs as Stripe does."""
    return make_provider("shop", webhook_auth="stripe")


@pytest.fixture
def record(shop) -> TransactionSnapshot:
    return accepted(make_client("bob", shop.provider), shop)


@pytest.fixture
def noon(monkeypatch) -> datetime:
    """Freeze the clock of the authentication at noon."""
    monkeypatch.setattr(clock.database, "now", lambda: NOON)
    return NOON


def refused(body: bytes, header: str | None, reason: str) -> None:
    """Assert that it is answered 401 and only a count is stored."""
    before = everything()
    headers = {} if header is None else {"Stripe-Signature": header}
    problem(send("/webhooks/shop", body, headers), 401, "webhook-not-authentic")
    assert everything() == before
    assert refusals() == {reason: 1}


def test_signatures_of_the_official_package_are_accepted(shop, record):
    body = words(record.id)

    assert send("/webhooks/shop", body, signed_by_stripe(shop.secret, body)).status_code == 204
    assert now(record).status == "completed"


def test_an_event_that_comes_again_with_a_new_signature_is_the_same_webhook(shop, record, noon):
    body = words(record.id)
    for seconds in (0, 60):
        send("/webhooks/shop", body, signed_by_stripe(shop.secret, body, at=noon + seconds * SECOND))

    assert recorded() == ["applied"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing_headers"), ("", "missing_headers"),
        ("v1={mark}", "malformed_headers"), ("t={time}", "malformed_headers"), ("nonsense", "malformed_headers"),
        ("t={time},v1", "malformed_headers"), ("t,v1={mark}", "malformed_headers"),
        ("t=,v1={mark}", "malformed_headers"), ("t=noon,v1={mark}", "malformed_headers"),
        ("t=-1,v1={mark}", "malformed_headers"), ("t=+{time},v1={mark}", "malformed_headers"),
        ("t=²,v1={mark}", "malformed_headers"), ("t=9999999999999999,v1={mark}", "malformed_headers"),
        ("t={time},v0={mark}", "malformed_headers"), ("t={time};v1={mark}", "malformed_headers"),
        ("t={time},v1=", "wrong_signature"), ("t={time},v1=é", "wrong_signature"),
        ("t={time}, v1={mark},v1=0", "wrong_signature"), ("t={time},v1=sha256:{mark}", "wrong_signature"),
        ("t=0,v1={mark}", "stale_timestamp"),
    ],
)  # fmt: skip
@needs_database
def test_it_refuses_a_malformed_header(shop, record, noon, header, reason):
    body = words(record.id)
    mark = signed_by_stripe(shop.secret, body, at=noon)["Stripe-Signature"].partition("v1=")[2]
    given_ = None if header is None else header.format(mark=mark, time=int(noon.timestamp()))

    refused(body, given_, reason)


@pytest.mark.parametrize("seconds", [-301, 301, 10**6])
def test_it_refuses_a_timestamp_more_than_300_s_off(shop, record, noon, seconds):
    body = words(record.id)

    refused(
        body, signed_by_stripe(shop.secret, body, at=noon + seconds * SECOND)["Stripe-Signature"], "stale_timestamp"
    )


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_it_takes_a_timestamp_up_to_300_s_off(shop, record, noon, seconds):
    body = words(record.id)
    headers = signed_by_stripe(shop.secret, body, at=noon + seconds * SECOND)

    assert send("/webhooks/shop", body, headers).status_code == 204


@pytest.mark.parametrize("header", ["{0},v1=0", "{0},v0=0", "v0=x,{0}", "{0},v1={1}", "{0},", "a=b,{0},c"])
def test_one_good_signature_among_several_is_enough(shop, record, header):
    body = words(record.id)
    mark = signed_by_stripe(shop.secret, body)["Stripe-Signature"]

    headers = {"Stripe-Signature": header.format(mark, "0" * 64)}
    assert send("/webhooks/shop", body, headers).status_code == 204


# --- the official package agrees

OURS = Provider(webhook_auth="stripe", slug="shop")
OURS.live_secrets = (SECRET,)


def ours(body: str, header: str) -> bool:
    try:
        authenticate(OURS, {"stripe-signature": header}, body.encode(), url=None)
    except Refused:
        return False
    return True


def theirs(body: str, header: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, header, SECRET, 300))
    except (SignatureVerificationError, TypeError):  # it cannot compare what is not ASCII
        return False


@st.composite
def headers_of(draw: st.DrawFn, body: str) -> str:
    """A header for this body: valid and invalid parts in any order and number."""
    at = int(NOON.timestamp()) + draw(st.sampled_from([-(10**6), -301, -300, -1, 0]))
    good = WebhookSignature.generate_signature_header(body, SECRET, timestamp=at).partition(",")[2]
    bad = WebhookSignature.generate_signature_header(body + " ", SECRET, timestamp=at).partition(",")[2]
    foreign = WebhookSignature.generate_signature_header(body, SECRET + "x", timestamp=at).partition(",")[2]
    known = [f"t={at}", f" t={at}", " " + good, f"t={at - 1}", f"t=0{at}", good, good, good[:-1], good.upper(),
             good + "=x", bad, foreign, "v1", "v1=", "t", "t=", "v0=x", ""]  # fmt: skip
    parts = draw(st.lists(st.sampled_from(known) | st.text(max_size=8), max_size=5))
    return ",".join(draw(st.sampled_from([[f"t={at}", good], [f"t={at}"], []])) + parts)


@given(data=st.data(), body=st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_the_official_package_agrees_on_good_and_tampered_headers(data, body):
    header = data.draw(headers_of(body))
    tampered = data.draw(st.sampled_from([body, body, body + " ", body[1:], "{}"]))

    of_stripe = SimpleNamespace(time=NOON.timestamp)
    with mock.patch.object(clock.database, "now", lambda: NOON), mock.patch("stripe._webhook.time", of_stripe):
        assert ours(tampered, header) == theirs(tampered, header)


@given(header=st.text(max_size=80), body=st.text(max_size=40))
@example(header="t=+1768046400,v1=x", body="")
@settings(max_examples=200, deadline=None)
def test_headers_that_the_official_package_refuses_are_refused(header, body):
    assert not ours(body, header)
    assert not theirs(body, header)
