"""The roles that exist after `migrate` and their permissions. Superusers have every permission."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions

_VIEWER = """
    admin.view_logentry
    clients.view_client
    operators.view_bulkrun operators.view_proposal
    providers.view_provider
    transactions.view_event transactions.view_transaction
    webhooks.view_refusalcount webhooks.view_webhook
    workers.view_breaker workers.view_clock workers.view_job workers.view_outboundcall workers.view_ratelimit
    workers.view_turn workers.view_workerprocess
"""
_OPERATOR = """
    clients.disable_endpoint clients.enable_endpoint
    operators.share_view
    providers.close_breaker providers.open_breaker providers.pause_provider providers.resume_provider
    transactions.cancel_tracking transactions.create_again transactions.export_transaction transactions.notify_again
    transactions.poll_now transactions.resolve_review transactions.set_status
    workers.retry_job
"""
# Nobody may delete users: their entries in the audit log would be deleted with them. Users are deactivated instead.
_ADMINISTRATOR = """
    auth.add_group auth.change_group auth.delete_group auth.view_group
    auth.add_user auth.change_user auth.view_user
    axes.delete_accessattempt axes.view_accessattempt
    clients.add_client clients.change_client clients.delete_client
    clients.add_apikey clients.change_apikey clients.add_callbacksecret
    providers.add_provider providers.change_provider providers.delete_provider providers.add_webhooksecret
    transactions.approve_status
"""
ROLES: dict[str, list[str]] = {
    "viewer": _VIEWER.split(),
    "operator": (_VIEWER + _OPERATOR).split(),
    "administrator": (_VIEWER + _OPERATOR + _ADMINISTRATOR).split(),
}


def grant(apps: Any) -> None:
    """Create the roles and grant each the permissions of `ROLES` that it lacks; keep members and other permissions.

    `apps` is the registry of a migration or the installed one. A fresh database has no permissions yet, because Django
    creates them after all migrations, so they are created first. Raises Permission.DoesNotExist for an unknown one.
    """
    for label in sorted({name.partition(".")[0] for names in ROLES.values() for name in names}):
        app = apps.get_app_config(label)
        # `create_permissions` skips an app without a models module, as all apps of a migration are.
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
