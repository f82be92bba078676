"""Settings of providers and clients: validation, stale pages, deletion."""

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from clients.models import Client
from providers.models import Provider
from tests.cast import accepted, make_client, make_provider
from tests.operators.pages.browser import fields_of
from workers.foundation.webhook_secrets import new_secret

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
PROVIDERS, CLIENTS = "/admin/providers/provider/", "/admin/clients/client/"


def change(client, address, fields=None, **changes):
    """Save the current page, or the given fields of an earlier one, with these changes; None unticks a box."""
    fields = (fields or fields_of(client.get(address).content.decode())) | changes
    return client.post(address, {name: value for name, value in fields.items() if value is not None}, follow=True)


def page_of(it) -> str:
    return f"/admin/{it._meta.app_label}/{it._meta.model_name}/{it.pk}/change/"


def test_a_setting_is_changed_and_the_change_is_recorded(admin_client, third):
    change(admin_client, page_of(third.provider), max_in_flight="17")

    assert Provider.objects.get().max_in_flight == 17
    assert "Max in flight" in LogEntry.objects.get().get_change_message()


def test_saving_an_unchanged_page_changes_nothing(admin_client, third):
    before = Provider.objects.values().get()

    change(admin_client, page_of(third.provider))

    assert Provider.objects.values().get() == before


def test_a_scheme_that_fits_no_secret_is_refused(admin_client):
    third = make_provider("shop", webhook_auth="stripe")
    third.provider.webhook_secrets.update(secret="a secret of Stripe's")

    answer = change(admin_client, page_of(third.provider), webhook_auth="standard")
    assert "All secrets are of another scheme" in answer.content.decode()

    third.provider.webhook_secrets.create(secret=new_secret())
    change(admin_client, page_of(third.provider), webhook_auth="standard")
    assert Provider.objects.get().webhook_auth == "standard"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("webhook_signature_header", "X Signature", "is not the name of an HTTP header"),
        ("webhook_allowed_ips", "192.0.2.1/24", "has host bits set"),
        ("create_timeout", "5000", "fit into a job&#x27;s lease"),
        ("base_url", "http://example.org", "Plain http is only allowed"),
        ("create_body", '{"x": "{password}"}', "Unknown placeholder"),
        ("status_path", "no-slash", "starts with /"),
        ("status_map", "not json", "Enter a valid JSON"),
        ("poll_growth", "0.5", "greater than or equal to 1"),
        ("new_headers", "[1]", "Give a JSON object of strings"),
        ("new_headers", '{"bad name": "x"}', "is not the name of an HTTP header"),
        ("new_headers", '{"X-Key": "a\\nb"}', "must consist of ASCII characters"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(admin_client, third, field, value, words):
    before = Provider.objects.values().get()

    answer = change(admin_client, page_of(third.provider), **{field: value})

    assert words in answer.content.decode()
    assert Provider.objects.values().get() == before


def test_a_stale_page_does_not_undo_a_pause(admin_client, third):
    opened = fields_of(admin_client.get(page_of(third.provider)).content.decode())
    Provider.objects.update(paused=True, paused_why="401")

    change(admin_client, page_of(third.provider), opened, poll_cap="60")

    assert Provider.objects.values_list("paused", "paused_why", "poll_cap").get() == (True, "401", 60)


def test_the_settings_form_neither_pauses_nor_resumes(admin_client, third):
    Provider.objects.update(paused=True, paused_why="401")

    change(admin_client, page_of(third.provider), paused="", paused_why="", poll_cap="60")

    assert Provider.objects.values_list("paused", "paused_why", "poll_cap").get() == (True, "401", 60)


def test_headers_stay_if_the_field_is_empty(admin_client):
    bank = make_provider("bank", headers={"X-Key": "hunter2"}).provider

    change(admin_client, page_of(bank), max_in_flight="5")

    assert Provider.objects.get().headers == {"X-Key": "hunter2"}


@pytest.mark.parametrize(("typed", "stored"), [('{"X-Key": "new"}', {"X-Key": "new"}), ("{}", {})])
def test_headers_are_replaced_and_removed(admin_client, typed, stored):
    bank = make_provider("bank", headers={"X-Key": "hunter2"}).provider

    change(admin_client, page_of(bank), new_headers=typed)

    assert Provider.objects.get().headers == stored


def test_pages_open_although_headers_cannot_be_decrypted(admin_client, alice, third, settings):
    record = accepted(alice, third)
    settings.ENCRYPTION_KEYS = ["a" * 43 + "="]
    lists = [f"/admin/{name}/" for name in ("transactions/transaction", "webhooks/webhook", "webhooks/refusalcount")]
    pages = [PROVIDERS, CLIENTS, *lists, page_of(alice.client), f"/admin/transactions/transaction/{record.id}/change/"]

    assert "cannot be read" in admin_client.get(page_of(third.provider)).content.decode()
    assert {admin_client.get(page).status_code for page in pages} == {200}


def test_a_new_provider_is_added_with_its_defaults(admin_client):
    change(admin_client, f"{PROVIDERS}add/", slug="bank", base_url="https://bank.example")

    bank = Provider.objects.get()
    assert (bank.create_timeout, bank.headers, bank.create_body["id"]) == (35, {}, "{id}")


def test_the_slug_of_a_provider_cannot_be_changed(admin_client, third):
    change(admin_client, page_of(third.provider), slug="other")

    assert Provider.objects.get().slug == "third"


def test_a_new_callback_url_clears_the_failure_time(admin_client, alice):
    Client.objects.update(endpoint_failing_since=timezone.now())

    change(admin_client, page_of(alice.client), callback_url="https://new.example/callback")

    assert Client.objects.get().endpoint_failing_since is None


def test_a_stale_page_does_not_enable_a_disabled_endpoint(admin_client, alice):
    opened = fields_of(admin_client.get(page_of(alice.client)).content.decode())
    Client.objects.update(endpoint_disabled_at=timezone.now())

    change(admin_client, page_of(alice.client), opened, name="alice & co")

    assert Client.objects.get().name == "alice & co"
    assert Client.objects.get().endpoint_disabled_at is not None


def test_a_clients_rate_limit_is_set_and_lifted(admin_client, alice):
    change(admin_client, page_of(alice.client), rate_limit="100/second")
    assert Client.objects.get().rate_limit == "100/second"

    change(admin_client, page_of(alice.client), rate_limit="")
    assert Client.objects.get().rate_limit == ""


def test_an_invalid_rate_limit_is_refused_with_the_reason(admin_client, alice):
    answer = change(admin_client, page_of(alice.client), rate_limit="fast")

    assert "such as 100/second" in answer.content.decode()
    assert Client.objects.get().rate_limit == ""


def test_a_clients_callback_body_is_set_and_reset(admin_client, alice):
    change(admin_client, page_of(alice.client), callback_body='{"ref": "{id}"}')
    assert Client.objects.get().callback_body == {"ref": "{id}"}

    change(admin_client, page_of(alice.client), callback_body="")
    assert Client.objects.get().callback_body is None


@pytest.mark.parametrize("whose", ["client", "provider"])
def test_rows_that_transactions_refer_to_are_not_deleted_and_the_page_says_why(admin_client, alice, third, whose):
    accepted(alice, third)
    it = {"client": alice.client, "provider": third.provider}[whose]
    address = f"/admin/{it._meta.app_label}/{whose}/{it.pk}/delete/"

    assert f"transactions that refer to {it}" in admin_client.get(address).content.decode()
    admin_client.post(address, {"post": "yes"})
    assert type(it).objects.filter(pk=it.pk).exists()


def test_unreferenced_rows_are_deleted_with_their_keys_and_secrets(admin_client):
    spare = make_client("spare", make_provider("spare").provider)

    for address in (f"{CLIENTS}{spare.client.pk}/delete/", f"{PROVIDERS}{spare.client.default_provider_id}/delete/"):
        admin_client.post(address, {"post": "yes"})

    assert not Client.objects.exists()
    assert not Provider.objects.exists()
