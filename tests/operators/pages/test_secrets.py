"""API keys and secrets: a new one is shown once, an existing one never."""

import contextlib
import html
import json
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone

from clients.models import ApiKey, CallbackSecret
from clients.settings import KeyOwner, key_owner
from operators.audit import Refused, newest_entry
from operators.credentials import create_key
from providers.models import WebhookSecret
from tests.cast import make_client, make_provider
from tests.operators.pages.conftest import signed_in
from tests.threads import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
HEADER = "Bearer hunter2-and-more"


@pytest.fixture
def bank():
    return make_provider("bank", headers={"Authorization": HEADER})


@pytest.fixture
def carol(bank):
    return make_client("carol", bank.provider)


@pytest.fixture
def add_key(carol) -> str:
    return f"/admin/clients/client/{carol.client.pk}/keys/add/"


@pytest.fixture
def revoke(carol) -> str:
    return f"/admin/clients/client/{carol.client.pk}/keys/{ApiKey.objects.get().pk}/revoke/"


def owner_of(key: str) -> KeyOwner:
    owner = key_owner(ApiKey.digest_of(key))
    assert owner is not None
    return owner


def shown(answer: Any) -> str:
    """Return the only value of a page that is shown once."""
    [value] = answer.context["values"].values()
    return str(value)


def seen(client, address) -> Any:
    return client.get(address).context["form"].initial["seen"]


def test_no_page_shows_a_secret(admin_client, carol, bank):
    hidden = [carol.key, ApiKey.digest_of(carol.key), carol.secret, bank.secret, HEADER]
    hidden += [secret.removeprefix("whsec_") for secret in (carol.secret, bank.secret)]
    its = [f"/admin/clients/client/{carol.client.pk}/", f"/admin/providers/provider/{bank.provider.pk}/"]
    pages = [*("/admin/clients/client/", "/admin/providers/provider/", "/admin/")]
    pages += [it + page for it in its for page in ("change/", "history/", "delete/", "secrets/add/")]

    for page in pages:
        shown = admin_client.get(page).content.decode()
        assert [secret for secret in hidden if secret in shown] == []


def test_an_invalid_header_is_not_sent_back_with_the_error(admin_client, bank):
    wrong = {"new_headers": json.dumps({"X-Key": "typed-just-now"}), "max_in_flight": "none"}

    answer = admin_client.post(f"/admin/providers/provider/{bank.provider.pk}/change/", wrong)

    assert "Please correct" in answer.content.decode()
    assert "typed-just-now" not in answer.content.decode()


def test_the_page_shows_the_number_of_headers(admin_client, bank):
    page = admin_client.get(f"/admin/providers/provider/{bank.provider.pk}/change/").content.decode()

    assert "1 header set" in page


def test_a_key_is_listed_by_its_prefix_and_name(admin_client, carol):
    page = admin_client.get(f"/admin/clients/client/{carol.client.pk}/change/").content.decode()

    assert f"{carol.key[:12]}…" in page
    assert "first key" in page


def test_a_keys_last_use_is_shown(admin_client, carol):
    page = f"/admin/clients/client/{carol.client.pk}/change/"
    assert admin_client.get(page).content.decode().count("<td>never</td>") == 2  # used, and ends

    ApiKey.objects.update(last_used_at=timezone.now().replace(year=2025, month=3, day=4))

    shown = admin_client.get(page).content.decode()
    assert "2025-03-04" in shown and shown.count("<td>never</td>") == 1


def test_a_new_key_is_shown_in_its_response_only(admin_client, carol, add_key):
    asked = {"name": "shop", "days": "30", "seen": seen(admin_client, add_key)}

    answer = admin_client.post(add_key, asked)

    key = shown(answer)
    assert key in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert owner_of(key).client_id == carol.client.pk
    assert ApiKey.objects.filter(name="shop", expires_at__gt=timezone.now() + timedelta(days=29)).exists()
    assert key not in admin_client.get(f"/admin/clients/client/{carol.client.pk}/change/").content.decode()


def test_a_new_key_is_in_no_session_message_or_log(admin_client, carol, add_key):
    answer = admin_client.post(add_key, {"name": "shop", "seen": seen(admin_client, add_key)})

    key = shown(answer)
    assert all(key not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(key not in morsel.value for morsel in admin_client.cookies.values())
    assert "Created the API key" in LogEntry.objects.get().change_message
    assert key not in LogEntry.objects.get().change_message


def test_a_form_submitted_twice_creates_one_key(admin_client, carol, add_key):
    asked = {"name": "shop", "seen": seen(admin_client, add_key)}
    admin_client.post(add_key, asked)

    answer = admin_client.post(add_key, asked, follow=True)

    assert "Nothing was done" in answer.content.decode()
    assert ApiKey.objects.filter(name="shop").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_form_submitted_twice_at_once_creates_one_key(carol, monkeypatch):
    root, meet = User.objects.create_superuser("root"), threading.Barrier(2)

    def look_together(row):
        found = newest_entry(row)
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(timeout=0.5)
        return found

    monkeypatch.setattr("operators.audit.newest_entry", look_together)
    create = partial(create_key, carol.client, name="shop", by=root, seen=0)

    assert sum(isinstance(made, Refused) for made in at_once(create, create)) == 1
    assert ApiKey.objects.filter(name="shop").count() == 1


def test_a_form_is_refused_after_any_change_by_staff(admin_client, carol, add_key, revoke):
    asked = {"name": "shop", "seen": seen(admin_client, add_key)}
    admin_client.post(revoke)

    assert "since this page was opened" in admin_client.post(add_key, asked, follow=True).content.decode()
    assert not ApiKey.objects.filter(name="shop").exists()


def test_a_form_submitted_twice_adds_one_secret(admin_client, carol):
    address = f"/admin/clients/client/{carol.client.pk}/secrets/add/"
    asked = {"overlap_days": "1", "seen": seen(admin_client, address)}
    admin_client.post(address, asked)

    answer = admin_client.post(address, asked, follow=True)

    assert "Nothing was done" in answer.content.decode()
    assert CallbackSecret.objects.count() == 2


def test_a_key_is_revoked_after_a_confirmation(admin_client, carol, revoke):
    assert "cannot be undone" in admin_client.get(revoke).content.decode()
    assert ApiKey.objects.get().revoked_at is None

    admin_client.post(revoke)

    assert not owner_of(carol.key).usable
    assert "Revoked the API key" in LogEntry.objects.get().change_message


def test_revoking_twice_keeps_the_first_time(admin_client, revoke):
    admin_client.post(revoke)
    first = ApiKey.objects.get().revoked_at

    answer = admin_client.post(revoke, follow=True)

    assert "was revoked before" in answer.content.decode()
    assert ApiKey.objects.get().revoked_at == first
    assert LogEntry.objects.count() == 1


def test_the_key_of_another_client_is_not_found(admin_client, carol, alice):
    theirs = ApiKey.objects.get(client=alice.client)

    address = f"/admin/clients/client/{carol.client.pk}/keys/{theirs.pk}/revoke/"

    assert admin_client.post(address).status_code == 404


@pytest.mark.parametrize(("older", "live"), [("0", 1), ("1", 2), ("", 2)])
def test_older_callback_secrets_sign_until_they_expire(admin_client, carol, older, live):
    address = f"/admin/clients/client/{carol.client.pk}/secrets/add/"

    answer = admin_client.post(address, {"overlap_days": older, "seen": seen(admin_client, address)})

    secrets = carol.settings.callback_secrets
    assert shown(answer) in answer.content.decode()
    assert shown(answer) in secrets
    assert len(secrets) == live


def test_the_older_webhook_secret_is_accepted_beside_a_new_one(admin_client, bank):
    address = f"/admin/providers/provider/{bank.provider.pk}/secrets/add/"

    answer = admin_client.post(address, {"overlap_days": "7", "seen": seen(admin_client, address)})

    assert bank.settings.live_secrets == (bank.secret, shown(answer))
    assert WebhookSecret.objects.filter(expires_at__lt=timezone.now() + timedelta(days=8)).count() == 1


def test_a_secret_issued_by_the_provider_is_stored_and_not_shown(admin_client):
    shop, given = make_provider("shop", webhook_auth="hmac-sha256"), "It's a Secret to Everybody"
    address = f"/admin/providers/provider/{shop.provider.pk}/secrets/add/"

    asked = {"overlap_days": "0", "secret": given, "seen": seen(admin_client, address)}
    answer = admin_client.post(address, asked, follow=True)

    assert shop.settings.live_secrets == (given,)
    assert given not in html.unescape(answer.content.decode())


@pytest.mark.parametrize("scheme", ["standard", "stripe"])
def test_a_secret_in_the_wrong_format_is_refused_and_not_sent_back(admin_client, scheme):
    shop, typed = make_provider("shop", webhook_auth=scheme), "whsec_<tooshort"
    address = f"/admin/providers/provider/{shop.provider.pk}/secrets/add/"

    answer = admin_client.post(address, {"overlap_days": "0", "secret": typed, "seen": seen(admin_client, address)})

    assert "A secret" in answer.content.decode()
    assert typed not in html.unescape(answer.content.decode())
    assert shop.settings.live_secrets == (shop.secret,)


def test_a_secret_that_expires_sooner_is_not_prolonged(admin_client, carol):
    soon = timezone.now() + timedelta(hours=1)
    CallbackSecret.objects.update(expires_at=soon)
    address = f"/admin/clients/client/{carol.client.pk}/secrets/add/"

    admin_client.post(address, {"overlap_days": "7", "seen": seen(admin_client, address)})

    assert CallbackSecret.objects.filter(expires_at=soon).count() == 1


def test_a_viewer_sees_no_button_and_is_refused(viewer, carol, bank, add_key, revoke):
    page = viewer.get(f"/admin/clients/client/{carol.client.pk}/change/").content.decode()
    assert "Create a key" not in page
    assert revoke not in page
    assert "Add a callback secret" not in page

    its = f"/admin/clients/client/{carol.client.pk}/secrets/add/"
    theirs = f"/admin/providers/provider/{bank.provider.pk}/secrets/add/"
    assert [viewer.post(page).status_code for page in (add_key, revoke, its, theirs)] == [403] * 4


def test_each_button_needs_its_own_permission(carol, bank, add_key):
    keeper = signed_in("keeper", "add_apikey")

    assert keeper.get(add_key).status_code == 200
    assert keeper.get(f"/admin/clients/client/{carol.client.pk}/secrets/add/").status_code == 403
