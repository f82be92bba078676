"""Absence of secrets from every `repr`, log, error and page."""

import dataclasses
import io
import logging
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Web

from clients.models import ApiKey, CallbackSecret
from clients.settings import key_owner
from providers.models import Provider
from providers.webhook_urls import url_tokens
from tests.cast import Caller, Third, accepted, clear_caches, job, make_client, make_provider
from tests.management import made
from tests.transactions.api.callers import Api
from tests.txnproject.test_checks import program
from workers import jobs, kinds

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

HEADER = "hunter2-and-more"


@pytest.fixture
def bank() -> Third:
    return make_provider("bank", headers={"X-Key": HEADER}, webhook_auth="url-token")


@pytest.fixture
def carol(bank: Third) -> Caller:
    return make_client("carol", bank.provider)


@pytest.fixture
def secrets(carol: Caller, bank: Third) -> list[str]:
    return [HEADER, bank.secret, carol.secret, carol.key, ApiKey.digest_of(carol.key)]


def leaked(text: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if secret in text or secret.removeprefix("whsec_") in text]


def test_the_repr_of_settings_contains_no_secret(carol, bank, secrets):
    shown = repr([carol.settings, bank.settings, key_owner(ApiKey.digest_of(carol.key))])

    assert "carol" in shown and "bank" in shown
    assert leaked(shown, secrets) == []


@pytest.mark.parametrize("kind", ["create", "track", "notify"])
def test_the_repr_of_a_handlers_work_contains_no_secret(carol, bank, secrets, kind):
    record = accepted(carol, bank)
    claimed = jobs.claim_one(job(record, kind))
    assert claimed is not None

    work: Any = kinds.kind_of(kind).load([claimed])[claimed.id]

    shown = repr([work, getattr(work, "order", None)])
    assert str(record.id) in shown
    assert leaked(shown, [*secrets, *url_tokens("bank", record.id)]) == []


def test_the_repr_of_a_row_contains_no_secret(carol, secrets):
    rows = [row for model in apps.get_models() for row in model._base_manager.all()]

    assert leaked(repr(rows) + str([str(row) for row in rows]), secrets) == []


def test_a_traceback_with_variables_contains_no_secret(carol, bank, secrets):
    client, provider = carol.settings, bank.settings
    try:
        raise ValueError(f"{client} and {provider}")
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "client = ClientSettings" in told and "provider = <Provider: bank>" in told
    assert leaked(told.replace(repr(carol), "").replace(repr(bank), "").replace(repr(secrets), ""), secrets) == []


def test_every_frozen_setting_that_is_secret_is_marked():
    """The `repr` leaves out fields that are read from an encrypted column or named after a secret."""
    from clients.settings import ClientSettings

    fields = dataclasses.fields(ClientSettings)
    secret = [one for one in fields if "secret" in one.name or one.name in ("headers", "key", "token", "password")]

    assert len(secret) >= 1
    assert [one.name for one in secret if one.repr] == []


def test_a_failed_request_puts_no_secret_in_its_answer_or_the_log(carol, secrets, monkeypatch, caplog):
    def fail(*_: Any, **given: Any) -> None:
        raise RuntimeError(f"cannot go on with {given}")

    monkeypatch.setattr("transactions.api.views.accept", fail)
    answer = Api(carol).post()

    assert answer.status_code == 500
    assert "cannot go on" in caplog.text and "carol" in caplog.text
    assert leaked(caplog.text + answer.content.decode(), secrets) == []


@pytest.mark.parametrize("page", ["secrets", "keys"])
def test_a_failed_page_does_not_show_the_secret_that_it_created(admin_client, carol, page, monkeypatch, caplog):
    made: list[str] = []

    def fail(*_: Any, values: Mapping[str, str], **__: Any) -> None:
        made.extend(values.values())
        raise RuntimeError("cannot be shown")

    monkeypatch.setattr("operators.pages.credentials.show", fail)
    web = Web(raise_request_exception=False)
    web.cookies = admin_client.cookies

    answer = web.post(f"/admin/clients/client/{carol.client.pk}/{page}/add/", {"name": "shop", "seen": 0})

    assert (answer.status_code, answer.content) == (500, b"Internal error\n")
    assert "cannot be shown" in caplog.text and len(made) == 1
    assert leaked(caplog.text, made) == []


def test_the_error_about_an_unreadable_secret_does_not_contain_it(carol, bank, settings, caplog):
    [stored] = Provider.objects.extra(select={"raw": "headers"}).values_list("raw", flat=True)
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    clear_caches()

    answer = Api(carol).post()

    assert answer.status_code == 500
    assert "SecretUnreadable" in caplog.text
    assert stored not in caplog.text and settings.ENCRYPTION_KEYS[0] not in caplog.text


def test_commands_print_secrets_only_to_stdout(caplog):
    caplog.set_level(logging.DEBUG)
    err = io.StringIO()
    call_command("createclient", "carol", "--callback-url", "https://c.example", stdout=io.StringIO(), stderr=err)
    key = made("createkey", "carol", "--name", "shop")["api_key"]
    made("createsecret", "--client", "carol")

    secrets = [key, *CallbackSecret.objects.values_list("secret", flat=True)]
    assert len(secrets) == 3
    assert leaked(caplog.text + err.getvalue(), secrets) == []


@pytest.mark.parametrize("setting", [f'headers={{"X-Key": "{HEADER}"', f"headers=[{HEADER}]", f"header={HEADER}"])
def test_the_error_about_a_malformed_header_does_not_contain_it(setting):
    with pytest.raises(CommandError) as error:
        call_command("createprovider", "bank", "--base-url", "https://bank.example", "--set", setting)

    assert leaked("".join(traceback.format_exception(error.value)), [HEADER]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hunter2"),
        ("ENCRYPTION_KEYS", "hunter2-and-more,hunter2-and-less"),
        ("DATABASE_URL", "postgresql://relay:hunter2@db.example:port/relay"),
        ("DATABASE_URL", "mysql://relay:hunter2@db.example/relay"),
        ("BROKER_URL", "http://:hunter2@broker.example"),
        ("BROKER_URL", "redis://:hunter2@broker.example:port"),
    ],
)
def test_the_error_about_a_bad_setting_does_not_contain_its_value(name, value):
    run = program("manage.py", "check", **{name: value})

    assert run.returncode != 0
    assert "hunter2" not in run.stdout + run.stderr


def test_no_variable_turns_debug_pages_on():
    ask = "import django; django.setup(); from django.conf import settings; print(settings.DEBUG)"
    run = program("-c", ask, DEBUG="1", DJANGO_DEBUG="1")

    assert run.stdout == "False\n", run.stderr
