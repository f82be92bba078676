"""Roles that `migrate` creates, and their permissions. Superusers have every permission."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions

_VIEWER = (
    "transactions.view_bulkrun",
    "transactions.view_client",
    "transactions.view_event",
    "transactions.view_proposal",
    "transactions.view_provider",
    "transactions.view_transaction",
    "webhooks.view_refusalcount",
    "webhooks.view_webhook",
    "workers.view_attempt",
    "workers.view_breaker",
    "workers.view_job",
    "workers.view_pace",
    "workers.view_workerprocess",
    "admin.view_logentry",
)
_OPERATOR = (
    "workers.retry_job",
    "transactions.poll_now",
    "transactions.create_again",
    "transactions.notify_again",
    "transactions.cancel_tracking",
    "transactions.set_status",
    "transactions.resolve_review",
    "transactions.export_transaction",
    "transactions.share_view",
    "transactions.pause_provider",
    "transactions.resume_provider",
    "transactions.open_breaker",
    "transactions.close_breaker",
    "transactions.disable_endpoint",
    "transactions.enable_endpoint",
)
# No role can delete users, because their audit-log entries would be deleted too. Users are made inactive.
_ADMINISTRATOR = (
    "transactions.approve_status",
    *(f"transactions.{may}_{what}" for what in ("client", "provider") for may in ("add", "change", "delete")),
    "transactions.add_apikey",
    "transactions.change_apikey",
    "transactions.add_callbacksecret",
    "transactions.add_webhooksecret",
    *(f"auth.{may}_user" for may in ("view", "add", "change")),
    *(f"auth.{may}_group" for may in ("view", "add", "change", "delete")),
    "axes.view_accessattempt",
    "axes.delete_accessattempt",
)
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": _VIEWER,
    "operator": (*_VIEWER, *_OPERATOR),
    "administrator": (*_VIEWER, *_OPERATOR, *_ADMINISTRATOR),
}


def grant(apps: Any) -> None:
    """Create the roles and add the permissions of `ROLES` that they lack; keeps members and other permissions.

    `apps` is the registry of a migration, or the installed one. Creates missing permissions first, because Django does
    so only after all migrations. Raises Permission.DoesNotExist for a permission that no model has.
    """
    for label in sorted({name.partition(".")[0] for names in ROLES.values() for name in names}):
        app = apps.get_app_config(label)
        # create_permissions skips an app without a models module, as apps of a migration are.
        kept, app.models_module = getattr(app, "models_module", None), True
        create_permissions(app, verbosity=0, apps=apps)
        app.models_module = kept
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for role, names in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        split = [name.partition(".") for name in names]
        group.permissions.add(
            *(Permission.objects.get(content_type__app_label=app, codename=codename) for app, _, codename in split)
        )
