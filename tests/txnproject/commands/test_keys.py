import json
from datetime import timedelta

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from clients.models import ApiKey
from tests.cast import Caller, clear_caches
from tests.management import made, said
from tests.transactions.api.callers import Api

pytestmark = pytest.mark.django_db


def status(key: str) -> int:
    clear_caches()
    return int(Api(None, Authorization=f"Bearer {key}").get().status_code)


def test_the_new_and_the_first_key_authenticate(alice):
    printed = made("createkey", "alice", "--name", "shop")

    assert set(printed) == {"client", "name", "api_key"}
    assert (printed["client"], printed["name"]) == ("alice", "shop")
    assert (status(printed["api_key"]), status(alice.key)) == (200, 200)


def test_a_key_expires_after_the_given_days(alice):
    made("createkey", "alice", "--name", "shop", "--days", "30")

    ends = ApiKey.objects.get(name="shop").expires_at
    assert ends is not None
    assert timedelta(days=29) < ends - timezone.now() < timedelta(days=31)


def test_a_new_key_is_also_printed_as_text(alice):
    printed = said("createkey", "alice", "--name", "shop")

    assert ApiKey.objects.get(name="shop").prefix in printed
    assert "cannot be shown again" in printed


@pytest.mark.parametrize(
    "words",
    [("nobody", "--name", "shop"), ("alice", "--name", ""), ("alice", "--name", "x" * 101), ("alice",),
     ("alice", "--name", "shop", "--days", "0"), ("alice", "--name", "shop", "--days", "3651")],
)  # fmt: skip
def test_invalid_arguments_create_no_key(alice, words):
    with pytest.raises(CommandError):
        said("createkey", *words)

    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("written", ["{}", "{}…"])
def test_a_key_is_revoked_by_its_first_characters(alice, written):
    other = made("createkey", "alice", "--name", "shop")["api_key"]

    printed = made("revokekey", written.format(other[:12]))

    assert printed == {"client": "alice", "name": "shop", "revoked_now": True}
    assert (status(other), status(alice.key)) == (403, 200)


def test_revoking_again_keeps_the_first_time(alice):
    said("revokekey", alice.key[:12])
    first = ApiKey.objects.get().revoked_at

    assert "was revoked before" in said("revokekey", alice.key[:12])
    assert ApiKey.objects.get().revoked_at == first


def test_it_revokes_nothing_when_two_keys_begin_with_the_same_characters(alice, mallory):
    ApiKey.objects.update(prefix="txk_the-same")

    with pytest.raises(CommandError, match="2 keys"):
        said("revokekey", "txk_the-same")

    assert not ApiKey.objects.exclude(revoked_at=None).exists()


@pytest.mark.parametrize("length", [11, 13, 47])
def test_a_whole_key_is_not_repeated_on_the_screen(alice: Caller, length):
    with pytest.raises(CommandError) as error:
        said("revokekey", alice.key[:length])

    assert alice.key[4:11] not in str(error.value)


def test_it_refuses_a_prefix_of_no_key(alice):
    with pytest.raises(CommandError, match="no key"):
        said("revokekey", "txk_12345678")


def test_both_are_logged_without_the_key(alice, caplog):
    caplog.set_level("INFO")

    key = made("createkey", "alice", "--name", "shop")["api_key"]
    said("revokekey", key[:12])

    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert key[:12] in caplog.text and key not in caplog.text
    assert json.dumps(key) not in caplog.text
