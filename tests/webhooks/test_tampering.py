"""Attacks on each scheme: changed, replayed and foreign signatures are refused or have no effect."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from svix.webhooks import Webhook as Svix

from providers.models import WebhookSecret
from providers.webhook_urls import url_tokens
from tests.cast import Third, accepted, clear_caches, make_client, make_provider, now
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, recorded, refusals, send, signed, signed_by_hmac, signed_by_stripe, words
from transactions.snapshot import TransactionSnapshot
from workers.foundation.webhook_secrets import new_secret

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@dataclass(frozen=True)
class Sent:
    """A webhook on its way."""

    path: str
    body: bytes
    headers: dict[str, str]

    def arrive(self) -> Any:
        return send(self.path, self.body, self.headers)


@dataclass(frozen=True)
class Scheme:
    """A scheme with a provider that uses it."""

    third: Third
    headers: Callable[..., dict[str, str]]
    token: bool = False

    def sent(self, id: UUID, status: str = "completed", secret: str = "", **when: Any) -> Sent:
        """A webhook about this transaction; not authentic if `secret` is a foreign one."""
        body = words(id, status)
        path = f"/webhooks/tester/{id}/{url_tokens('tester', id)[0]}" if self.token else "/webhooks/tester"
        return Sent(path, body, self.headers(secret or self.third.secret, body, **when))


SIGNERS: dict[str, Callable[..., dict[str, str]]] = {
    "standard": signed,
    "stripe": signed_by_stripe,
    "hmac-sha256": signed_by_hmac,
    "url-token": lambda secret, body: {},
}
SIGNED = ["standard", "stripe", "hmac-sha256"]
EVERY = [*SIGNED, "url-token"]
TIMED = ["standard", "stripe"]


@pytest.fixture
def scheme(request, db) -> Scheme:
    name = request.param
    return Scheme(make_provider("tester", webhook_auth=name), SIGNERS[name], token=name == "url-token")


@pytest.fixture
def record(scheme) -> TransactionSnapshot:
    return accepted(make_client("bob", scheme.third.provider), scheme.third)


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scheme", names, indirect=True)


def refused(sent: Sent) -> None:
    """Assert that it is answered 401 and only a count is stored."""
    before = everything()
    problem(sent.arrive(), 401, "webhook-not-authentic")
    assert everything() == before
    assert sum(refusals().values()) == 1


@of(*EVERY)
def test_an_unchanged_webhook_is_accepted(scheme, record):
    assert scheme.sent(record.id).arrive().status_code == 204
    assert now(record).status == "completed"


@of(*SIGNED)
@pytest.mark.parametrize("change", [(b"completed", b"declined"), (b"{", b"{ "), (b"}", b"}\n"), (b"-", b"_")])
def test_a_changed_body_is_refused(scheme, record, change):
    sent = scheme.sent(record.id)

    refused(replace(sent, body=sent.body.replace(*change)))


@of(*SIGNED)
def test_a_signature_of_another_transactions_webhook_is_refused(scheme, record):
    other = accepted(make_client("carol", scheme.third.provider), scheme.third)

    refused(replace(scheme.sent(record.id), headers=scheme.sent(other.id).headers))


@of("url-token")
def test_a_token_of_another_transaction_is_refused(scheme, record):
    other = accepted(make_client("carol", scheme.third.provider), scheme.third)

    refused(replace(scheme.sent(record.id), path=f"/webhooks/tester/{record.id}/{url_tokens('tester', other.id)[0]}"))


@of("url-token")
def test_a_body_about_another_transaction_than_the_tokens_has_no_effect(scheme, record):
    other = accepted(make_client("carol", scheme.third.provider), scheme.third)
    before = everything()

    problem(replace(scheme.sent(record.id), body=words(other.id)).arrive(), 400, "invalid")
    assert everything() == before


@of("standard")
def test_a_changed_id_is_refused(scheme, record):
    sent = scheme.sent(record.id)

    refused(replace(sent, headers=sent.headers | {"webhook-id": "msg_2"}))


@of(*TIMED)
@pytest.mark.parametrize("seconds", [-310, 310])
def test_a_stale_or_future_webhook_is_refused_despite_its_signature(scheme, record, seconds):
    refused(scheme.sent(record.id, at=datetime.now(UTC) + timedelta(seconds=seconds)))


@of(*TIMED)
@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_changed_timestamp_is_refused(scheme, record, seconds):
    at = int(datetime.now(UTC).timestamp())
    sent = scheme.sent(record.id, at=datetime.fromtimestamp(at, UTC))
    changed = {name: value.replace(str(at), str(at + seconds)) for name, value in sent.headers.items()}
    assert changed != sent.headers

    refused(replace(sent, headers=changed))


@of(*SIGNED)
def test_each_missing_header_is_refused(scheme, record):
    sent = scheme.sent(record.id)
    for n, name in enumerate(sent.headers, start=1):
        rest = {other: value for other, value in sent.headers.items() if other != name}
        problem(replace(sent, headers=rest).arrive(), 401, "webhook-not-authentic")
        assert refusals() == {"missing_headers": n}


@of("url-token")
def test_a_missing_token_is_refused(scheme, record):
    refused(replace(scheme.sent(record.id), path="/webhooks/tester"))


@of(*SIGNED)
def test_a_repeated_header_does_not_make_a_foreign_signature_valid(scheme, record):
    """Web servers join the values of a repeated header with a comma."""
    good, bad = scheme.sent(record.id), scheme.sent(record.id, secret=new_secret())
    changed = replace(good, body=good.body.replace(b"completed", b"declined"))
    before = everything()
    for one, other in [(good, bad), (bad, good), (good, good)]:
        doubled = {name: f"{one.headers[name]},{other.headers[name]}" for name in one.headers}
        assert replace(changed, headers=doubled).arrive().status_code == 401
    assert everything() == before


@of(*SIGNED)
def test_the_signature_of_another_secret_is_refused(scheme, record):
    refused(scheme.sent(record.id, secret=new_secret()))


@of(*SIGNED)
def test_old_and_new_secret_are_taken_while_both_live_and_the_old_one_no_longer(scheme, record):
    new = new_secret()
    WebhookSecret.objects.create(provider=scheme.third.provider, secret=new)
    clear_caches()
    assert scheme.sent(record.id, "pending").arrive().status_code == 204
    assert scheme.sent(record.id, "pending", secret=new).arrive().status_code == 204

    WebhookSecret.objects.exclude(pk=WebhookSecret.objects.latest("pk").pk).update(expires_at=datetime.now(UTC))
    clear_caches()
    refused(scheme.sent(record.id))


@of(*SIGNED)
def test_a_provider_without_secrets_is_always_refused(scheme, record):
    WebhookSecret.objects.all().delete()
    clear_caches()

    refused(scheme.sent(record.id))


@of(*EVERY)
def test_a_replay_has_no_effect(scheme, record):
    sent = scheme.sent(record.id)
    sent.arrive()
    before = everything()[:-1]
    for _ in range(2):
        assert sent.arrive().status_code == 204

    assert everything()[:-1] == before
    assert recorded() == ["applied"]


@of(*EVERY)
def test_a_signature_is_valid_for_its_provider_only(scheme, record):
    name = scheme.third.provider.webhook_auth
    other = make_provider("other", webhook_auth=name)
    sent = scheme.sent(record.id)

    refused(replace(sent, path=sent.path.replace("tester", other.provider.slug)))


@of(*EVERY)
@pytest.mark.parametrize("answer", [True, False])
def test_signatures_are_compared_in_constant_time(scheme, record, monkeypatch, answer):
    compared: list[Any] = []

    def compare(*pair: Any) -> Any:
        compared.append(pair)
        return answer

    monkeypatch.setattr("hmac.compare_digest", compare)
    sent = scheme.sent(record.id, secret=new_secret() if answer else "")
    if answer and scheme.token:
        sent = replace(sent, path=f"/webhooks/tester/{record.id}/wrong")

    assert sent.arrive().status_code == (204 if answer else 401)
    assert compared


@of("standard")
def test_signatures_of_svix_are_accepted(scheme, record):
    at, body = datetime.now(UTC), words(record.id)
    mark = Svix(scheme.third.secret).sign("msg_1", at, body.decode())
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(at.timestamp())), "svix-signature": mark}

    assert send("/webhooks/tester", body, headers).status_code == 204
    assert now(record).status == "completed"


@of("standard")
def test_secrets_of_another_scheme_are_skipped(scheme, record):
    WebhookSecret.objects.create(provider=scheme.third.provider, secret="It's a Secret to Everybody")
    clear_caches()

    assert scheme.sent(record.id).arrive().status_code == 204
