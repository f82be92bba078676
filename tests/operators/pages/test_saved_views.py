"""Saved lists: private, or shared with all users who may view the list."""

import pytest
from django.contrib.auth.models import Permission, User

from operators.models import SavedView
from tests.operators.pages.conftest import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
LIST = "/admin/transactions/transaction/"


@pytest.fixture
def olga(db: None):
    """A user who may share lists."""
    return signed_in("olga", "share_view")


def save(client, query="status=failed&provider=1", name="Failed", **given):
    return client.post(f"{LIST}views/?{query}", {"name": name, **given}, follow=True)


def menu(client, page="/admin/workers/job/") -> list[tuple[str, str]]:
    """Return the saved lists in the menu of another page."""
    groups = client.get(page).context["sidebar_navigation"]
    items = next(group["items"] for group in groups if group.get("title") == "Saved lists")
    return [(item["title"], item["link"]) for item in items if item["has_permission"]]


def above(client) -> list[str]:
    return [view.name for view in client.get(LIST).context["head"]["views"]]


def test_its_owner_sees_it_above_the_list_and_in_the_menu(viewer, order):
    save(viewer)

    assert above(viewer) == ["Failed"]
    assert menu(viewer) == [("Failed", f"{LIST}?status=failed&provider=1")]


def test_the_page_number_is_not_saved(viewer, order):
    save(viewer, "status=failed&p=2&q= x ")

    assert SavedView.objects.get().query == "status=failed&q=x"


def test_others_do_not_see_it(viewer, olga, order):
    save(viewer)

    assert above(olga) == [] and menu(olga) == []


def test_a_shared_list_is_above_the_list_for_all_and_in_the_menu_of_its_owner(viewer, olga, order):
    save(olga, shared="on")

    assert above(viewer) == ["Failed"]
    assert menu(viewer) == [] and len(menu(olga)) == 1


def test_sharing_needs_its_permission(viewer, order):
    assert save(viewer, shared="on").status_code == 403
    assert not SavedView.objects.exists()
    assert "Share with everyone" not in viewer.get(f"{LIST}?status=failed").content.decode()


def test_saving_under_the_same_name_replaces_it(viewer, order):
    save(viewer)
    save(viewer, "status=pending")

    assert SavedView.objects.get().query == "status=pending"


def test_its_owner_deletes_it(viewer, order):
    save(viewer)

    viewer.post(f"{LIST}views/{SavedView.objects.get().pk}/delete/")
    assert not SavedView.objects.exists()


def test_nobody_else_deletes_it(viewer, admin_client, olga, order):
    save(olga, shared="on")

    for other in (viewer, admin_client):
        assert other.post(f"{LIST}views/{SavedView.objects.get().pk}/delete/").status_code == 404


def test_get_requests_change_nothing(viewer, order):
    save(viewer)

    assert viewer.get(f"{LIST}views/?status=failed").status_code == 405
    assert viewer.get(f"{LIST}views/{SavedView.objects.get().pk}/delete/").status_code == 405


@pytest.mark.parametrize("name", ["", " ", "x" * 61])
def test_it_needs_a_valid_name(viewer, order, name):
    assert "Not saved" in save(viewer, name=name).content.decode()
    assert not SavedView.objects.exists()


def test_names_are_escaped(viewer, order):
    save(viewer, name="<b>x</b>")

    page = viewer.get(f"{LIST}?status=failed&provider=1").content.decode()
    assert page.count("&lt;b&gt;x&lt;/b&gt;") >= 3
    assert "<b>x</b>" not in page


def test_a_list_with_an_unknown_filter_is_not_saved(viewer, order):
    assert save(viewer, "amount__gte=1").status_code == 400


def test_without_the_view_permission_lists_are_neither_saved_nor_shown(viewer, order):
    save(viewer)
    user = User.objects.get(username="viewer")
    user.user_permissions.remove(Permission.objects.get(codename="view_transaction"))

    assert save(viewer).status_code == 403
    assert menu(viewer) == []
