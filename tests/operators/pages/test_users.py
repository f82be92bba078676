"""Pages of users and roles: no privilege escalation."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from operators.roles import grant

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
NEW = "correct-horse-1"


@pytest.fixture
def ada(db):
    """An administrator by role, not a superuser."""
    grant(apps)
    user = User.objects.create_user("ada", is_staff=True)
    user.groups.add(Group.objects.get(name="administrator"))
    return user


@pytest.fixture
def browser(ada):
    client = Client()
    client.force_login(ada)
    return client


def send(client, user, **fields):
    """Submit the page of a user with these fields."""
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    sent = {"username": user.username, "is_active": "on", "is_staff": "on"} | joined | fields
    return client.post(f"/admin/auth/user/{user.pk}/change/", sent)


def test_an_administrator_cannot_make_a_superuser(ada, browser):
    send(browser, ada, is_superuser="on")

    assert not User.objects.get(pk=ada.pk).is_superuser


def test_an_administrator_cannot_grant_a_permission_they_lack(ada, browser):
    more = Permission.objects.get(codename="delete_user")

    send(browser, ada, user_permissions=[more.pk])

    assert not User.objects.get(pk=ada.pk).has_perm("auth.delete_user")


@pytest.mark.parametrize("active", [True, False])
def test_an_administrator_cannot_change_a_superuser(browser, active):
    root = User.objects.create_superuser("root", is_active=active)

    answers = [
        send(browser, root, username="toor"),
        browser.post(f"/admin/auth/user/{root.pk}/password/", dict.fromkeys(("password1", "password2"), NEW)),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    root.refresh_from_db()
    assert (root.username, root.check_password(NEW)) == ("root", False)


def test_an_administrator_cannot_create_a_role_with_permissions_they_lack(browser):
    more, less = (Permission.objects.get(codename=name) for name in ("delete_user", "poll_now"))

    browser.post("/admin/auth/group/add/", {"name": "more", "permissions": [more.pk]})
    browser.post("/admin/auth/group/add/", {"name": "less", "permissions": [less.pk]})

    assert set(Group.objects.filter(name__in=["more", "less"]).values_list("name", flat=True)) == {"less"}


def test_an_administrator_cannot_assign_a_role_with_permissions_they_lack(ada, browser):
    owners = Group.objects.create(name="owners")
    owners.permissions.add(Permission.objects.get(codename="delete_user"))
    viewers = Group.objects.get(name="viewer")

    send(browser, ada, groups=[owners.pk])
    assert owners not in ada.groups.all()

    send(browser, ada, groups=[viewers.pk])
    assert list(ada.groups.all()) == [viewers]


def test_a_superuser_can_make_a_superuser(ada, admin_client):
    send(admin_client, ada, is_superuser="on")

    assert User.objects.get(pk=ada.pk).is_superuser
