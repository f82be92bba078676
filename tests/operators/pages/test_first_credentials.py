"""A client or provider added in the admin is complete: its key and secret are issued on saving and shown once."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.utils import timezone

from clients.models import ApiKey, CallbackSecret, Client
from clients.settings import KeyOwner, key_owner
from operators.credentials import issue_first
from providers.models import Provider, WebhookSecret
from tests.cast import make_client, make_provider
from tests.operators.pages.browser import fields_of
from tests.operators.pages.conftest import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
PROVIDERS, CLIENTS = "/admin/providers/provider/", "/admin/clients/client/"


def save(browser, address, **fields):
    """Save the form at this address with these values."""
    return browser.post(address, fields_of(browser.get(address).content.decode()) | fields)


def add_client(browser, **fields):
    given = {"name": "shop", "callback_url": "https://shop.example/callback"} | fields
    return save(browser, f"{CLIENTS}add/", **given)


def add_provider(browser, **fields):
    return save(browser, f"{PROVIDERS}add/", **{"slug": "bank", "base_url": "https://bank.example"} | fields)


@pytest.mark.parametrize("button", ["_save", "_addanother", "_continue"])
def test_a_new_clients_key_and_secret_are_shown_once(admin_client, button):
    answer = add_client(admin_client, **{button: "1"})

    values, page = answer.context["values"], answer.content.decode()
    assert key_owner(ApiKey.digest_of(values["API key"])) == KeyOwner(Client.objects.get().pk, usable=True)
    assert CallbackSecret.objects.get().secret == values["callback secret"]
    assert all(value in page for value in values.values())
    assert "no-store" in answer["Cache-Control"]
    later = admin_client.get(f"{CLIENTS}{Client.objects.get().pk}/change/").content.decode()
    assert not any(value in later for value in values.values())


def test_new_secrets_are_in_no_session_cookie_or_audit_entry(admin_client):
    values = add_client(admin_client).context["values"].values()

    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [morsel.value for morsel in admin_client.cookies.values()]
    kept += LogEntry.objects.values_list("change_message", flat=True)
    assert not [value for value in values if any(value in text for text in kept)]


def test_the_audit_log_names_the_client_its_key_and_its_secret(admin_client):
    add_client(admin_client)

    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("id")]
    assert [text.split()[0] for text in said] == ["Added.", "Created", "Added"]
    assert "API key" in said[1] and "callback secret" in said[2]


def test_nothing_is_added_if_the_secret_cannot_be_stored(admin_client, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("no secret")

    monkeypatch.setattr("operators.credentials.add_secret", fail)
    with pytest.raises(RuntimeError, match="no secret"):
        add_client(admin_client)

    assert not Client.objects.exists() and not ApiKey.objects.exists() and not LogEntry.objects.exists()


def test_a_form_saved_twice_adds_one_client(admin_client):
    add_client(admin_client)
    answer = add_client(admin_client)

    assert "already exists" in answer.content.decode()
    assert (Client.objects.count(), ApiKey.objects.count(), CallbackSecret.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("scheme", ["standard", "stripe", "hmac-sha256"])
def test_a_new_providers_secret_and_webhook_url_are_shown(admin_client, scheme):
    answer = add_provider(admin_client, webhook_auth=scheme)

    url, secret = "http://testserver/webhooks/bank", WebhookSecret.objects.get().secret
    assert answer.context["values"] == {"webhook URL": url, "webhook secret": secret}
    assert url in answer.content.decode() and secret in answer.content.decode()


def test_a_scheme_without_secrets_shows_only_the_webhook_url(admin_client):
    answer = add_provider(admin_client, webhook_auth="url-token")

    url = "http://testserver/webhooks/bank/<provider_transaction_id>/<token>"
    assert answer.context["values"] == {"webhook URL": url}
    assert not WebhookSecret.objects.exists()


def test_the_page_of_a_provider_keeps_the_webhook_url(admin_client, third):
    page = admin_client.get(f"{PROVIDERS}{third.provider.pk}/change/").content.decode()

    assert "http://testserver/webhooks/third" in page


@pytest.mark.parametrize(
    ("held", "names", "note"),
    [
        ([], set(), "the API key and the callback secret"),
        (["add_apikey"], {"API key"}, "the callback secret"),
        (["add_callbacksecret"], {"callback secret"}, "the API key"),
        (["add_apikey", "add_callbacksecret"], {"API key", "callback secret"}, ""),
    ],
)
def test_only_permitted_credentials_are_issued_and_the_pages_name_the_others(held, names, note):
    browser = signed_in("adder", "add_client", *held)

    before = browser.get(f"{CLIENTS}add/").content.decode()
    answer = add_client(browser)

    assert set(answer.context["values"]) == names
    for page in (before, answer.content.decode()):
        assert (f"You may not create {note}: ask" in page) == bool(note)


def test_a_provider_is_added_without_the_permission_for_its_secret():
    answer = add_provider(signed_in("adder", "add_provider"))

    assert set(answer.context["values"]) == {"webhook URL"}
    assert "You may not create the webhook secret" in answer.content.decode()


def test_the_note_of_the_form_says_what_saving_creates(admin_client):
    assert "an API key and a callback secret" in admin_client.get(f"{CLIENTS}add/").content.decode()
    assert "a webhook secret" in admin_client.get(f"{PROVIDERS}add/").content.decode()


@pytest.mark.parametrize("state", ["deleted", "expired", "by hand"])
def test_the_page_and_the_list_name_a_client_without_a_live_secret(viewer, alice, state):
    if state == "expired":
        CallbackSecret.objects.update(expires_at=timezone.now())
    elif state == "deleted":
        CallbackSecret.objects.all().delete()
    it = Client.objects.create(name="bob", callback_url="https://bob.example") if state == "by hand" else alice.client

    assert f"{it} has no valid callback secret" in viewer.get(f"{CLIENTS}{it.pk}/change/").content.decode()
    assert "no valid callback secret" in viewer.get(CLIENTS).content.decode()


def test_the_page_and_the_list_name_a_provider_without_a_live_secret(viewer, third):
    third.provider.webhook_secrets.all().delete()

    page = viewer.get(f"{PROVIDERS}{third.provider.pk}/change/").content.decode()
    assert "third has no valid webhook secret" in page
    assert "no valid webhook secret" in viewer.get(PROVIDERS).content.decode()


def test_a_live_secret_leaves_no_warning(viewer, third):
    carol = make_client("carol", third.provider)

    pages = [f"{CLIENTS}{carol.client.pk}/change/", f"{PROVIDERS}{third.provider.pk}/change/"]
    for address in (*pages, CLIENTS, PROVIDERS):
        assert "no valid" not in viewer.get(address).content.decode()


@pytest.mark.parametrize("scheme", ["standard", "stripe", "hmac-sha256"])
def test_changing_to_a_scheme_that_needs_a_secret_warns(admin_client, scheme):
    bank = make_provider("bank", webhook_auth="url-token").provider
    bank.webhook_secrets.all().delete()
    address = f"{PROVIDERS}{bank.pk}/change/"

    assert "no valid webhook secret" not in admin_client.get(address).content.decode()
    save(admin_client, address, webhook_auth=scheme)

    assert Provider.objects.get().webhook_auth == scheme
    assert "bank has no valid webhook secret" in admin_client.get(PROVIDERS).content.decode()


@pytest.mark.parametrize("scheme", ["standard", "url-token"])
def test_a_given_secret_is_stored_with_every_scheme(scheme):
    bank = Provider.objects.create(slug="bank", base_url="https://bank.example", webhook_auth=scheme)
    given = make_provider("other").secret

    assert issue_first(bank, secret=given)["webhook secret"] == given
