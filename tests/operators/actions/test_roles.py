"""The roles that `migrate` creates."""

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from operators.actions.table import ACTIONS
from operators.roles import ROLES, grant

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

OURS = ("clients", "operators", "providers", "transactions", "webhooks", "workers")
SECRETS = {"view_apikey", "view_callbacksecret", "view_webhooksecret"}


@pytest.fixture
def roles(db):
    """Create the roles as `migrate` does: tests that empty the database have removed them."""
    grant(apps)


def permissions(role):
    of = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in of}


def test_a_viewer_may_view_everything_except_secrets(roles):
    ours = Permission.objects.filter(content_type__app_label__in=OURS, codename__startswith="view_")
    viewed = {f"{one.content_type.app_label}.{one.codename}" for one in ours if one.codename not in SECRETS}

    assert permissions("viewer") == viewed | {"admin.view_logentry"}


def test_an_operator_may_run_every_action_except_approve(roles):
    doable = {action.permission for action in ACTIONS.values()} - {"transactions.approve_status"}

    of_lists = {"transactions.export_transaction", "operators.share_view"}
    assert permissions("operator") == permissions("viewer") | doable | of_lists


def test_an_administrator_may_do_what_operators_may_and_manage_secrets(roles):
    assert permissions("administrator") > permissions("operator")
    assert {"transactions.approve_status", "providers.add_webhooksecret", "auth.change_user"} <= permissions(
        "administrator"
    )


def test_no_role_may_delete_records_or_users(roles):
    deletable = {name for name in permissions("administrator") if ".delete_" in name}

    assert deletable == {"clients.delete_client", "providers.delete_provider", "auth.delete_group",
                         "axes.delete_accessattempt"}  # fmt: skip


def test_granting_again_keeps_members_and_added_permissions(roles):
    olga, viewers = User.objects.create_user("olga"), Group.objects.get(name="viewer")
    viewers.user_set.add(olga)
    viewers.permissions.set([Permission.objects.get(codename="retry_job")])

    grant(apps)

    assert list(olga.groups.all()) == [viewers]
    assert permissions("viewer") == {*ROLES["viewer"], "workers.retry_job"}


def test_the_migration_creates_missing_permissions_in_a_fresh_database(db):
    Group.objects.all().delete()
    Permission.objects.all().delete()
    state = MigrationLoader(connection).project_state(("operators", "0001_initial"))

    importlib.import_module("operators.migrations.0001_initial").grant(state.apps)

    assert {role: permissions(role) for role in ROLES} == {role: set(names) for role, names in ROLES.items()}
