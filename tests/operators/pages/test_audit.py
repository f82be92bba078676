"""Audit log: newest first, with filters and search, read-only."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType

from operators.actions.table import ACTIONS
from providers.models import Provider
from tests.operators.pages.conftest import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
AUDIT = "/admin/admin/logentry/"


@pytest.fixture
def auditor(db):
    client = signed_in("auditor")
    user = User.objects.get(username="auditor")
    user.user_permissions.add(Permission.objects.get(codename="view_logentry"))
    return client


@pytest.fixture
def done(third):
    """Olga has paused the provider third; Otto has resumed it."""
    for who, name in (("olga", "pause_provider"), ("otto", "resume_provider")):
        user = User.objects.create_user(who, is_staff=True)
        assert ACTIONS[name].run(pk=third.provider.pk, by=user, reason=f"said {who}") == ""


def shown(client, **query):
    """Return the users whose entries the list shows, in its order."""
    page = client.get(AUDIT, query).content.decode().partition("<tbody")[2]
    at = {who: page.find(words) for who, words in (("olga", "Paused the"), ("otto", "Resumed the"))}
    return sorted((who for who in at if at[who] >= 0), key=lambda who: at[who])


def test_the_newest_entry_comes_first_with_user_change_and_reason(auditor, done):
    assert shown(auditor) == ["otto", "olga"]
    page = auditor.get(AUDIT).content.decode()
    assert "Paused the provider: said olga" in page
    assert f"/admin/providers/provider/{Provider.objects.get().pk}/change/" in page


def test_filters_by_user_and_model(auditor, done):
    olga, provider = User.objects.get(username="olga").pk, ContentType.objects.get_for_model(Provider).pk

    assert shown(auditor, by=olga) == ["olga"]
    assert shown(auditor, on=provider) == ["otto", "olga"]
    assert shown(auditor, on=ContentType.objects.get_for_model(User).pk) == []


def test_searches_text_name_and_id(auditor, done):
    assert shown(auditor, q="said otto") == ["otto"]
    assert shown(auditor, q="third") == ["otto", "olga"]
    assert shown(auditor, q=str(Provider.objects.get().pk)) == ["otto", "olga"]
    assert shown(auditor, q="nothing of the kind") == []


def test_searches_text_in_the_newest_entries_only(auditor, done, monkeypatch):
    monkeypatch.setattr("operators.pages.access.MOST", 1)

    assert shown(auditor, q="said") == ["otto"]
    assert shown(auditor, q=str(Provider.objects.get().pk)) == ["otto", "olga"]


def test_nobody_can_change_it(admin_client, done):
    entry = LogEntry.objects.latest("pk")

    assert admin_client.get(f"{AUDIT}add/").status_code == 403
    assert admin_client.post(f"{AUDIT}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{AUDIT}{entry.pk}/change/", {"change_message": ""}).status_code == 403
    assert LogEntry.objects.count() == 2


def test_it_needs_a_permission(viewer, done):
    assert viewer.get(AUDIT).status_code == 403
