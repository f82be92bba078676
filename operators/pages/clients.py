"""Pages of clients: settings, API keys and callback secrets."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clients.models import UNSIGNED, CallbackSecret, Client, without_callback_secret
from operators.pages.actions import ActingAdmin
from operators.pages.base import SettingsForm, column, moment, pill
from operators.pages.credentials import KeysAdmin
from providers.models import Provider


class ClientForm(SettingsForm):
    def further(self) -> dict[str, Any]:
        """Forget the failures of the earlier address when the endpoint's address changes."""
        return {"endpoint_failing_since": None} if "callback_url" in self.changed_data else {}


def _endpoint(client: Client) -> SafeString:
    if client.endpoint_disabled_at:
        return pill("disabled")
    if client.lacks_secret:
        return pill("no valid callback secret", "bad")
    return pill("failing" if client.endpoint_failing_since else "active")


endpoint = column("endpoint", _endpoint)
created, disabled = moment("created_at"), moment("endpoint_disabled_at")
failing = moment("endpoint_failing_since", "endpoint failing since")


@admin.register(Client)
class ClientAdmin(ActingAdmin, KeysAdmin):
    form = ClientForm
    list_display = (
        "name", column("state", lambda client: pill("enabled" if client.enabled else "disabled")), endpoint,
        "default_provider", "callback_url",
    )  # fmt: skip
    joined = ("default_provider",)
    list_filter = ("enabled",)
    search_fields = ("name", "=api_keys__prefix")
    search_help_text = "Part of the name, or the first twelve characters of an API key"
    fieldsets = (
        (None, {"fields": ("name", "enabled", "default_provider", "rate_limit", created)}),
        ("Notifications", {"fields": ("callback_url", "callback_method", "callback_body", endpoint,
                                      failing, disabled, "endpoint_disabled_why")}),
    )  # fmt: skip
    readonly_fields = (created, endpoint, failing, disabled, "endpoint_disabled_why")
    secret_model = CallbackSecret
    secret_use = "Notifications are signed with every unexpired secret."  # noqa: S105
    without_secret = staticmethod(without_callback_secret)
    no_secret = UNSIGNED
    on_saving = "Saving creates an API key and a callback secret, and shows both once."

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "default_provider":
            field.widget.can_add_related = False  # its secret is shown once, which a popup that closes itself prevents
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, queryset=Provider.objects.defer("headers"), **kwargs)
