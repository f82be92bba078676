"""Names, menu and style of the admin site, for the settings."""

from itertools import groupby
from operator import itemgetter
from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

NAME = "Transaction relay"
LISTS = (
    ("", "Transactions", "receipt_long", "transactions.transaction"),
    ("", "Jobs", "pending_actions", "workers.job"),
    ("", "Calls", "call_made", "workers.outboundcall"),
    ("", "Webhooks", "call_received", "webhooks.webhook"),
    ("", "Refused webhooks", "block", "webhooks.refusalcount"),
    ("Settings", "Providers", "account_balance", "providers.provider"),
    ("Settings", "Clients", "storefront", "clients.client"),
    ("Service", "Bulk runs", "playlist_play", "operators.bulkrun"),
    ("Service", "Workers", "memory", "workers.workerprocess"),
    ("Access", "Users", "person", "auth.user"),
    ("Access", "Roles", "group", "auth.group"),
    ("Access", "Failed logins", "lock", "axes.accessattempt"),
    ("Access", "Audit log", "history", "admin.logentry"),
)
"""Lists in the menu: the group, the title, the icon and the model."""


def _item(_: str, title: str, icon: str, model: str) -> dict[str, Any]:
    """Return the menu item of a list, for users who may view its model."""
    app, name = model.split(".")
    link = reverse_lazy(f"admin:{app}_{name}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": lambda of: of.user.has_perm(f"{app}.view_{name}")}


NAVIGATION: list[dict[str, Any]] = [
    {"title": group, "items": [_item(*each) for each in lists]} for group, lists in groupby(LISTS, itemgetter(0))
]
NAVIGATION[0]["items"].insert(0, {"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")})
LOOK: dict[str, Any] = {
    "SITE_TITLE": NAME,
    "SITE_HEADER": NAME,
    "SITE_SYMBOL": "swap_horiz",
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("relay/icon.svg")}],
    "SCRIPTS": [lambda request: static("relay/console.js")],
    "STYLES": [lambda request: static("relay/relay.css")],
    "SIDEBAR": {"navigation": NAVIGATION},
}
