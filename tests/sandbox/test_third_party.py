import uuid

import pytest
import requests

from sandbox.settings import Settings

pytestmark = pytest.mark.slow

FINAL = {"completed", "declined"}


def test_sync_answers_the_final_status(sandbox):
    answer = sandbox.create("sync")
    assert answer.status_code == 201
    assert answer.json()["status"] in FINAL
    assert sandbox.read(sandbox.last_id).json() == answer.json()


def test_webhook_settles_later_and_sends_a_webhook(sandbox):
    assert sandbox.create("webhook").json()["status"] == "pending"
    sandbox.until(lambda: sandbox.notified(sandbox.last_id))
    assert sandbox.notified(sandbox.last_id) == [sandbox.read(sandbox.last_id).json()["status"]]
    assert [webhook["http"] for webhook in sandbox.seen(sandbox.last_id)["webhooks"]] == [204]


def test_duplicate_webhook_sends_the_same_webhook_twice(sandbox):
    sandbox.create("duplicate-webhook")
    sandbox.until(lambda: len(sandbox.notified(sandbox.last_id)) == 2)
    first, second = sandbox.notified(sandbox.last_id)
    assert first == second


def test_silent_settles_without_a_webhook(sandbox):
    assert sandbox.create("silent").json()["status"] == "pending"
    sandbox.until(lambda: sandbox.read(sandbox.last_id).json()["status"] in FINAL)
    assert sandbox.notified(sandbox.last_id) == []


def test_refuse_creates_nothing(sandbox):
    assert sandbox.create("refuse").status_code == 422
    assert sandbox.read(sandbox.last_id).status_code == 404


def test_ghost504_answers_504_and_appears_later(sandbox):
    assert sandbox.create("ghost504").status_code == 504
    sandbox.until(lambda: sandbox.read(sandbox.last_id).status_code == 200)
    assert sandbox.read(sandbox.last_id).json()["status"] in FINAL


def test_a_late_ghost_overwrites_a_create_in_between(sandbox):
    assert sandbox.create("ghost504").status_code == 504
    sandbox.create("ghost504", id=sandbox.last_id, amount=999)
    sandbox.until(lambda: sandbox.read(sandbox.last_id).json().get("amount") == 100)
    assert sandbox.state("provider")["duplicate_creates"] == 1
    assert sandbox.seen(sandbox.last_id)["copies"] == 2


def test_lost504_loses_the_first_create_and_accepts_the_second(sandbox):
    assert sandbox.create("lost504").status_code == 504
    assert sandbox.create("lost504", id=sandbox.last_id).status_code == 201
    assert sandbox.state("provider")["duplicate_creates"] == 0


def test_drop_creates_but_closes_the_connection(sandbox):
    with pytest.raises(requests.ConnectionError):
        sandbox.create("drop")
    assert sandbox.read(sandbox.last_id).json()["status"] in FINAL


def test_conflict_creates_but_answers_409(sandbox):
    assert [sandbox.create("conflict", id=str(uuid.UUID(int=1))).status_code for _ in range(2)] == [409, 409]
    assert sandbox.read(sandbox.last_id).status_code == 200
    assert sandbox.state("provider")["duplicate_creates"] == 0


def test_throttle_answers_429_to_the_first_create_only(sandbox):
    first = sandbox.create("throttle")
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1")
    assert sandbox.create("throttle", id=sandbox.last_id).status_code == 201


def test_contradict_contradicts_its_answer_by_webhook_only(sandbox):
    assert sandbox.create("contradict").json()["status"] == "completed"
    sandbox.until(lambda: sandbox.notified(sandbox.last_id) == ["declined"])
    assert sandbox.read(sandbox.last_id).json()["status"] == "completed"


def test_early_webhook_is_sent_before_the_answer(sandbox):
    assert sandbox.create("early-webhook").json()["status"] == "pending"
    assert sandbox.notified(sandbox.last_id)[0] in FINAL


def test_it_overwrites_and_counts_a_second_create(sandbox):
    sandbox.create("sync")
    sandbox.create("sync", id=sandbox.last_id, amount=999)
    assert sandbox.read(sandbox.last_id).json()["amount"] == 999
    assert sandbox.state("provider")["duplicate_creates"] == 1
    assert len(sandbox.seen(sandbox.last_id)["create_calls"]) == 2


@pytest.mark.parametrize("wrong", [{"id": "mine"}, {"amount": "1"}, {"currency": "eur"}, {"webhook_url": "nowhere"}])
def test_it_names_an_invalid_field(sandbox, wrong):
    answer = sandbox.create("sync", **wrong)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(next(iter(wrong)))


def test_it_accepts_a_camel_case_webhook_url(sandbox):
    order = {"id": str(uuid.uuid4()), "amount": 1, "currency": "EUR", "webhookUrl": sandbox.url + "/client/callback"}
    sandbox.http.post(sandbox.url + "/third-party/transactions", json=order | {"reference": "contradict"})
    sandbox.until(lambda: sandbox.notified(order["id"]) == ["declined"])


def test_it_counts_reads_that_found_the_transaction_and_reads_that_did_not(sandbox):
    key = str(uuid.uuid4())
    sandbox.read(key)
    sandbox.create("sync", id=key)
    sandbox.read(key)
    assert (sandbox.seen(key)["checks"], sandbox.seen(key)["polls"]) == (1, 1)


@pytest.mark.parametrize("mode", ["500", "503", "429"])
def test_it_answers_an_injected_fault_until_the_fault_ends(sandbox, mode):
    others = {"client": "ok", "unknown_ids": "ok", "timestamps": "ok"}
    assert sandbox.control(provider=mode).json() == {"provider": mode} | others
    assert sandbox.create("sync").status_code == int(mode)
    sandbox.control(provider="ok")
    assert sandbox.read(sandbox.last_id).status_code == 404


def test_it_drops_connections_while_down(sandbox):
    sandbox.control(provider="down")
    with pytest.raises(requests.ConnectionError):
        sandbox.create("sync")


def test_a_hanging_request_is_not_in_flight_after_the_caller_disconnects(sandbox):
    sandbox.control(provider="hang")
    with pytest.raises(requests.Timeout):
        requests.get(sandbox.url + "/third-party/transactions/x", timeout=0.05)
    sandbox.until(lambda: sandbox.state("provider")["in_flight"] == 0)
    assert sandbox.state("provider")["peak_in_flight"] == 1


def test_reset_deletes_all_records_and_ends_faults(sandbox):
    sandbox.create("sync")
    sandbox.control(client="500")
    assert sandbox.http.post(sandbox.url + "/reset").status_code == 204
    assert sandbox.state("provider")["transactions"] == {}
    assert sandbox.state("control")["client"] == "ok"


@pytest.mark.parametrize("settings", [Settings(speed=0.01)])
def test_it_stops_promptly_while_requests_are_running(sandbox):
    with pytest.raises(requests.Timeout):
        requests.get(sandbox.url + "/third-party/transactions/x", timeout=0.05)
