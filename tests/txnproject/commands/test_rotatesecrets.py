"""`manage.py rotatesecrets`: encrypts every secret with the first key and loses no concurrent change."""

import io
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from clients.models import CallbackSecret
from providers.models import Provider, WebhookSecret
from tests.cast import make_client, make_provider
from tests.management import said
from tests.threads import aside
from workers.foundation import encryption, reencryption
from workers.foundation.encryption import SecretUnreadable

pytestmark = pytest.mark.django_db

HEADERS = {"Authorization": "Bearer hunter2-and-more"}
OURS = [("providers_webhooksecret", "secret"), ("clients_callbacksecret", "secret"),
        ("providers_provider", "headers")]  # fmt: skip


@pytest.fixture
def old(settings) -> str:
    return str(settings.ENCRYPTION_KEYS[0])


@pytest.fixture
def new() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def bank(old):
    return make_provider("bank", headers=HEADERS)


@pytest.fixture
def carol(bank):
    return make_client("carol", bank.provider)


@pytest.fixture
def rotating(carol, settings, old, new) -> None:
    """Put the new key first."""
    settings.ENCRYPTION_KEYS = [new, old]


def stored() -> dict[str, list[str]]:
    """Return the encrypted values as they are in the tables."""
    found = {}
    with connection.cursor() as cursor:
        for table, column in OURS:
            cursor.execute(f"SELECT {column} FROM {table} ORDER BY id")  # noqa: S608  our own tables' names
            found[f"{table}.{column}"] = [value for (value,) in cursor.fetchall()]
    return found


def store(table: str, column: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s", [value])  # noqa: S608


def complaints() -> str:
    """Return what the command writes to stderr before it fails."""
    err = io.StringIO()
    with pytest.raises(CommandError, match="1 values were not decrypted"):
        call_command("rotatesecrets", stdout=io.StringIO(), stderr=err)
    return err.getvalue()


def test_the_old_key_is_not_needed_after_the_rotation(rotating, carol, bank, settings, new):
    said("rotatesecrets")

    settings.ENCRYPTION_KEYS = [new]
    assert Provider.objects.get().headers == HEADERS
    assert (WebhookSecret.objects.get().secret, CallbackSecret.objects.get().secret) == (bank.secret, carol.secret)


def test_the_old_key_is_needed_before_the_rotation(rotating, settings, new):
    settings.ENCRYPTION_KEYS = [new]

    with pytest.raises(SecretUnreadable):
        CallbackSecret.objects.get()


def test_every_encrypted_column_is_found_by_its_type(rotating):
    names = {line.partition(":")[0] for line in said("rotatesecrets").splitlines()}

    assert names >= {"clients.CallbackSecret.secret", "providers.Provider.headers",
                     "providers.WebhookSecret.secret"}  # fmt: skip


def test_no_other_column_holds_encrypted_values(rotating):
    """A value encrypted by other code than the field would not be re-encrypted."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT row_to_json(whole)::text FROM "{table}" AS whole')  # noqa: S608
            found |= {table for (row,) in cursor.fetchall() if "gAAAA" in row}

    assert found == {table for table, _ in OURS}


def test_it_reports_counts_and_a_second_run_changes_nothing(rotating):
    assert said("rotatesecrets").count("1 re-encrypted, 0 already") == 3
    once = stored()

    assert said("rotatesecrets").count("0 re-encrypted, 1 already") == 3
    assert stored() == once


def test_it_processes_more_rows_than_a_batch(rotating, carol, settings, new, monkeypatch):
    monkeypatch.setattr(reencryption, "BATCH", 2)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[::-1]
    for _ in range(4):
        CallbackSecret.objects.create(client=carol.client, secret=carol.secret)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[::-1]

    assert "CallbackSecret.secret: 5 re-encrypted" in said("rotatesecrets")


@pytest.mark.parametrize("damaged", ["", "nonsense", "é", Fernet(Fernet.generate_key()).encrypt(b"{}").decode()])
def test_rows_that_no_key_decrypts_are_named_and_the_others_are_re_encrypted(rotating, settings, new, damaged):
    store("providers_provider", "headers", damaged)

    row = Provider.objects.values_list("pk", flat=True).get()
    assert complaints() == f"providers.Provider.headers: no key decrypts the value of row {row}\n"
    assert stored()["providers_provider.headers"] == [damaged]
    settings.ENCRYPTION_KEYS = [new]
    assert WebhookSecret.objects.get() and CallbackSecret.objects.get()


def amid(monkeypatch: pytest.MonkeyPatch, secret: str, work: Any) -> None:
    """Run `work` between the read of a secret and its write."""
    original, done = encryption.reencrypt, list[Any]()

    def meanwhile(token: str) -> str:
        if not done and secret in encryption.decrypt(token):
            done.append(aside(work))
        return original(token)

    monkeypatch.setattr(reencryption, "reencrypt", meanwhile)


@pytest.mark.django_db(transaction=True)
def test_a_change_by_an_operator_meanwhile_is_kept(rotating, monkeypatch):
    def change() -> None:
        Provider.objects.update(headers={"X-Key": "changed"})

    amid(monkeypatch, HEADERS["Authorization"], change)
    said("rotatesecrets")

    assert Provider.objects.get().headers == {"X-Key": "changed"}


@pytest.mark.django_db(transaction=True)
def test_a_value_written_meanwhile_with_the_older_key_is_re_encrypted(rotating, settings, old, new, monkeypatch):
    by_the_older_key = Fernet(old).encrypt(b'{"X-Key": "changed"}').decode()
    meanwhile = partial(store, "providers_provider", "headers", by_the_older_key)
    amid(monkeypatch, HEADERS["Authorization"], meanwhile)
    said("rotatesecrets")

    settings.ENCRYPTION_KEYS = [new]
    assert Provider.objects.get().headers == {"X-Key": "changed"}


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_deleted_meanwhile_is_no_error(rotating, carol, monkeypatch):
    amid(monkeypatch, carol.secret, CallbackSecret.objects.all().delete)

    said("rotatesecrets")

    assert not CallbackSecret.objects.exists()


def test_each_row_is_written_by_its_own_statement(rotating, django_assert_num_queries):
    """Each column takes two reads and one write, without a transaction around them."""
    with django_assert_num_queries(9):
        said("rotatesecrets")


def test_the_output_contains_no_secret(rotating, carol, bank, old, new):
    printed = said("rotatesecrets")

    assert all(secret not in printed for secret in (carol.secret, bank.secret, HEADERS["Authorization"], old, new))
