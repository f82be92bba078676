"""What the operators' pages look like: their names, their menu, their stylesheet. Plain data, read by the settings."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

NAME = "Transaction relay"


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    """A list of a model (`transactions.job`) in the menu of those who may view it."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": _may_view(f"{app}.view_{name}"),
    }


LOOK: dict[str, Any] = {
    "SITE_TITLE": NAME,
    "SITE_HEADER": NAME,
    "SITE_URL": "/",
    "SITE_SYMBOL": "swap_horiz",
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("relay/icon.svg")}],
    "SCRIPTS": [lambda request: static("relay/console.js")],
    "STYLES": [lambda request: static("relay/relay.css")],
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    _item("Transactions", "receipt_long", "transactions.transaction"),
                    _item("Jobs", "pending_actions", "workers.job"),
                    _item("Calls", "call_made", "workers.outboundcall"),
                    _item("Webhooks", "call_received", "webhooks.webhook"),
                    _item("Refused webhooks", "block", "webhooks.refusalcount"),
                ]
            },
            {
                "title": "Settings",
                "items": [
                    _item("Providers", "account_balance", "providers.provider"),
                    _item("Clients", "storefront", "clients.client"),
                ],
            },
            {
                "title": "Service",
                "items": [
                    _item("Bulk runs", "playlist_play", "operators.bulkrun"),
                    _item("Workers", "memory", "workers.workerprocess"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _item("Users", "person", "auth.user"),
                    _item("Roles", "group", "auth.group"),
                    _item("Failed logins", "lock", "axes.accessattempt"),
                    _item("Audit log", "history", "admin.logentry"),
                ],
            },
        ],
    },
}
