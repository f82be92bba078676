import http.client
import json
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from sandbox.client import CONFIRMATIONS
from sandbox.settings import Settings

OLD, NEW, OTHER = "whsec_b2xkb2xkb2xkb2xk", "whsec_bmV3bmV3bmV3bmV3", "whsec_b3RoZXJvdGhlcm90"
signed = pytest.mark.parametrize("settings", [Settings(callback_secrets=(OLD, NEW))])


def send(sandbox, secret, at=None):
    """Send a notification signed with `secret` at the time `at`; return the status of the answer."""
    at = at or datetime.now(UTC)
    body = json.dumps({"type": "transaction.completed", "data": {"id": "order-1", "status": "completed"}})
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, body),
    }
    return sandbox.http.post(sandbox.url + "/client/callback", data=body, headers=headers).status_code


@signed
@pytest.mark.parametrize("secret", [OLD, NEW])
def test_it_accepts_a_notification_signed_with_any_of_its_secrets(sandbox, secret):
    assert send(sandbox, secret) == 204
    assert sandbox.notified("order-1") == ["completed"]


@signed
def test_it_rejects_and_counts_a_foreign_signature(sandbox):
    assert send(sandbox, OTHER) == 401
    assert sandbox.notify("completed", 1) == 401
    assert sandbox.notify("completed", 1, headers={"webhook-signature": "v1"}) == 401
    assert sandbox.state("client")["bad_signatures"] == 3


@signed
@pytest.mark.parametrize("seconds", [-310, 310])
def test_it_rejects_a_signature_outside_the_time_window(sandbox, seconds):
    assert send(sandbox, OLD, datetime.now(UTC) + timedelta(seconds=seconds)) == 401


@signed
@pytest.mark.parametrize(("secret", "seconds", "status"), [(OLD, -3600, 204), (OLD, 3600, 204), (OTHER, 3600, 401)])
def test_it_accepts_a_signature_of_any_time_if_told_so(sandbox, secret, seconds, status):
    sandbox.control(timestamps="any")

    assert send(sandbox, secret, datetime.now(UTC) + timedelta(seconds=seconds)) == status


def verdicts(sandbox):
    known = sandbox.state("client")["transactions"]["order-1"]
    return [notification["verdict"] for notification in known["notifications"]]


def test_it_recognises_a_repeated_notification_by_its_sequence(sandbox):
    assert [sandbox.notify("pending", 1), sandbox.notify("pending", 1), sandbox.notify("completed", 2)] == [204] * 3
    assert verdicts(sandbox) == ["new", "repeated", "new"]


def test_it_reports_a_pending_status_after_a_final_one_as_stale(sandbox):
    sandbox.notify("completed", 2)
    sandbox.notify("pending", 1)
    assert verdicts(sandbox) == ["new", "stale"]


def test_it_reports_a_conflicting_final_status_and_keeps_the_first(sandbox):
    sandbox.notify("completed", 1)
    sandbox.notify("declined", 2)
    assert verdicts(sandbox) == ["new", "conflicting"]
    assert sandbox.state("client")["transactions"]["order-1"]["final"] == "completed"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_it_accepts_a_flat_body_by_put_and_patch(sandbox, method):
    body = {"id": "order-1", "status": "completed", "sequence": 1}
    assert sandbox.http.request(method, sandbox.url + "/client/callback", json=body).status_code == 204
    assert sandbox.notified("order-1") == ["completed"]


def test_it_answers_400_to_an_invalid_body(sandbox):
    assert sandbox.http.post(sandbox.url + "/client/callback", data="[]").status_code == 400


def test_it_simulates_an_endpoint_that_is_gone(sandbox):
    sandbox.control(client="410")
    assert sandbox.notify("completed", 1) == 410
    assert sandbox.state("client")["faulted"] == 1


@contextmanager
def confirmed(sandbox, sequence=1):
    """Send a notification and yield the answer, whose body is not read."""
    with closing(http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)) as connection:
        data = {"id": "order-1", "status": "completed", "sequence": sequence}
        connection.request("POST", "/client/callback", json.dumps({"type": "transaction.completed", "data": data}))
        with connection.getresponse() as answer:
            yield answer


@pytest.mark.parametrize("mode", CONFIRMATIONS)
def test_it_records_a_notification_that_it_confirms_oddly(sandbox, mode):
    sandbox.control(client=mode)
    with confirmed(sandbox) as answer:
        assert answer.status == (204 if mode == "body-204" else 200)
    assert sandbox.notified("order-1") == ["completed"]
    assert sandbox.state("client")["faulted"] == 1


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("cut", http.client.IncompleteRead),
        ("reset", ConnectionResetError),
        ("bad-chunk", http.client.IncompleteRead),
    ],
)
def test_it_breaks_off_the_body_of_a_confirmation(sandbox, mode, error):
    sandbox.control(client=mode)
    with confirmed(sandbox) as answer, pytest.raises(error):
        answer.read()


def test_a_body_that_never_ends_goes_on_after_its_json(sandbox):
    sandbox.control(client="endless")
    with confirmed(sandbox) as answer:
        assert answer.read(12).endswith(b"  ")


def test_it_confirms_in_each_odd_way_in_turn(sandbox):
    sandbox.control(client="odd")
    for sequence in range(1, len(CONFIRMATIONS) + 1):
        with confirmed(sandbox, sequence):
            pass
    known = sandbox.state("client")["transactions"]["order-1"]["notifications"]
    assert [notification["confirmation"] for notification in known] == list(CONFIRMATIONS)


@pytest.mark.parametrize("settings", [Settings(speed=200, callback_secrets=(OLD,), webhook_secret=OLD)])
def test_it_signs_webhooks_if_it_has_a_secret(sandbox):
    sandbox.create("contradict")
    sandbox.until(lambda: sandbox.notified(sandbox.last_id) == ["declined"])
