import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from limits import parse
from limits.storage import MemoryStorage

from clients import rate_limits as throttling
from clients.models import Client, validate_rate
from clients.rate_limits import Counters, counters_at
from devstack.ports import free_port
from devstack.stores import Stores
from tests.cast import Caller, clear_caches
from tests.servers import silent, until
from tests.transactions.api.callers import Api, problem, stored

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PER_HOUR = parse("5/hour")
_clients = iter(range(1_000_000, 2_000_000))


@pytest.fixture
def someone() -> int:
    """Return the id of a client without counts: the counters outlive the tests."""
    return next(_clients) + time.time_ns() // 1_000_000 * 1_000_000


@pytest.fixture(autouse=True)
def counted(monkeypatch, stores: Stores) -> Counters:
    """Return the API's counters, in a Valkey database without counts of other tests."""
    found = counters_at(stores.broker_database(3))
    found._limiter.storage.reset()
    monkeypatch.setattr("clients.rate_limits.counters", lambda: found)
    return found


def limit(caller: Caller, rate: str) -> None:
    Client.objects.filter(pk=caller.client.pk).update(rate_limit=rate)
    clear_caches()


def statuses(api: Api, count: int) -> list[int]:
    return [api.get().status_code for _ in range(count)]


def passed(counters: Counters, who: int, count: int = 1) -> int:
    return [counters.wait(who, PER_HOUR) for _ in range(count)].count(None)


def test_requests_over_the_limit_are_answered_429_with_retry_after(api, alice):
    limit(alice, "2/minute")
    assert statuses(api, 2) == [200, 200]

    answer = api.post()

    problem(answer, 429, "too-many-requests")
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert stored() == (0, 0, 0)


def test_a_request_after_the_seconds_of_retry_after_passes(api, alice):
    limit(alice, "2/second")
    until(lambda: api.get().status_code == 429)

    time.sleep(int(api.get()["Retry-After"]))

    assert api.get().status_code == 200


def test_retry_after_is_never_less_than_a_second(api, alice):
    limit(alice, "50/second")
    answers = [api.get() for _ in range(60)]
    refused = [int(answer["Retry-After"]) for answer in answers if answer.status_code == 429]

    assert refused and set(refused) == {1}


def test_a_client_without_a_limit_has_none(api):
    assert set(statuses(api, 50)) == {200}


def test_without_a_limit_no_counter_is_used(api, monkeypatch):
    monkeypatch.setattr("clients.rate_limits.counters", None)

    assert api.get().status_code == 200


def test_the_services_limit_applies_to_clients_without_their_own(api, alice, stranger, mallory, settings):
    settings.CLIENT_RATE_LIMIT = "1/hour"
    limit(mallory, "3/hour")

    assert (statuses(api, 4), statuses(stranger, 4)) == ([200, 429, 429, 429], [200, 200, 200, 429])


def test_a_client_can_be_without_a_limit_while_others_have_one(api, alice, settings):
    settings.CLIENT_RATE_LIMIT = "1/hour"
    limit(alice, "none")

    assert set(statuses(api, 4)) == {200}


def test_one_clients_requests_do_not_count_for_another(api, alice, stranger, mallory):
    limit(alice, "1/hour")
    limit(mallory, "1/hour")

    assert (statuses(api, 2), statuses(stranger, 2)) == ([200, 429], [200, 429])


def test_a_changed_limit_counts_at_once(api, alice):
    limit(alice, "1/hour")
    statuses(api, 2)

    limit(alice, "2/hour")

    assert statuses(api, 3) == [200, 200, 429]


def test_unauthenticated_requests_are_not_counted(api, alice):
    limit(alice, "1/hour")
    assert Api(None).get().status_code == 401

    assert api.get().status_code == 200


@pytest.mark.parametrize("path", ["/order-1", "/order-1/events"])
def test_requests_to_every_endpoint_are_counted(api, alice, path):
    api.post()
    limit(alice, "1/hour")

    assert [api.get(path).status_code for _ in range(2)] == [200, 429]


def test_two_processes_share_the_counters(stores, someone):
    first, second = counters_at(stores.broker_database(3)), counters_at(stores.broker_database(3))

    assert passed(first, someone, 3) + passed(second, someone, 3) == 5


def test_concurrent_threads_pass_no_more_than_the_limit(stores, someone):
    several = [counters_at(stores.broker_database(3)) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(lambda n: passed(several[n % 4], someone, 5), range(8)))

    assert total == 5


@pytest.mark.parametrize("broker", ["amqp://127.0.0.1", ""])
def test_without_redis_each_process_has_its_own_counters(broker, someone):
    first, second = counters_at(broker), counters_at(broker)

    assert isinstance(first._limiter.storage, MemoryStorage)
    assert (passed(first, someone, 6), passed(second, someone, 6)) == (5, 5)


def test_redis_can_listen_on_a_socket(tmp_path, someone):
    nobody = counters_at(f"unix://{tmp_path}/redis.sock")

    assert passed(nobody, someone, 6) == 6


def test_while_redis_is_down_all_requests_pass(alice, monkeypatch):
    limit(alice, "1/hour")
    nobody = counters_at(f"redis://127.0.0.1:{free_port()}")
    monkeypatch.setattr("clients.rate_limits.counters", lambda: nobody)

    assert set(statuses(Api(alice), 4)) == {200}


def asked(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record the requests to the counters' storage from now on."""
    storage: Any = counters._limiter.storage
    questions: list[Any] = []
    ask = storage.acquire_sliding_window_entry

    def note(*question: Any, **more: Any) -> Any:
        questions.append(question)
        return ask(*question, **more)

    monkeypatch.setattr(storage, "acquire_sliding_window_entry", note)
    return questions


def test_a_silent_redis_is_called_once_per_pause(someone, monkeypatch, caplog):
    with silent() as port:
        counters = counters_at(f"redis://127.0.0.1:{port}")
        questions = asked(counters, monkeypatch)

        assert passed(counters, someone, 20) == 20

    assert len(questions) == 1
    assert [record.getMessage().count("not enforced") for record in caplog.records] == [1]


def test_after_a_pause_one_request_calls_redis_again(someone, monkeypatch, caplog):
    counters = counters_at(f"redis://127.0.0.1:{free_port()}")
    passed(counters, someone)
    questions = asked(counters, monkeypatch)

    later = SimpleNamespace(monotonic=lambda: time.monotonic() + throttling.PAUSE, time=time.time)
    monkeypatch.setattr("clients.rate_limits.time", later)
    passed(counters, someone, 10)

    assert len(questions) == 1
    assert caplog.text.count("not enforced") == 1


def test_when_redis_returns_the_limit_is_enforced_again(counted, someone, monkeypatch, caplog):
    pool = counted._limiter.storage.get_connection().connection_pool
    with monkeypatch.context() as away:
        away.setitem(pool.connection_kwargs, "port", free_port())
        pool.reset()
        assert passed(counted, someone, 9) == 9
    pool.reset()
    monkeypatch.setattr(counted, "_retry_at", 0.0)

    assert passed(counted, someone, 9) == 5
    assert "are enforced" in caplog.text


def test_a_restart_of_redis_loses_no_request(counted, someone):
    passed(counted, someone, 3)
    counted._limiter.storage.get_connection().client_kill_filter(_type="normal", skipme=False)

    assert passed(counted, someone, 9) == 2


@pytest.mark.parametrize("rate", ["", "none", "1/second", "100/second", "6000/minute", "999999999/hour"])
def test_these_rates_are_valid(rate, alice):
    validate_rate(rate)
    limit(alice, rate)
    assert alice.settings.name == "alice"


@pytest.mark.parametrize(
    "rate", ["0/second", "-1/second", "1", "1/day", "1 per second", "1/seconds", "01/second", "1.5/second",
             "9999999999/hour", "1/second\n", "None", " 1/second", "1/second;2/hour"],
)  # fmt: skip
def test_an_invalid_rate_is_refused_by_the_validator_and_the_database(rate, alice):
    with pytest.raises(ValidationError):
        validate_rate(rate)
    with pytest.raises(DatabaseError), transaction.atomic():
        Client.objects.filter(pk=alice.client.pk).update(rate_limit=rate)
