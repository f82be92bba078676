"""Pages of clients: settings, API keys and callback secrets."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clients.models import Client
from operators.pages.actions import ActingAdmin
from operators.pages.base import SettingsForm, moment, pill
from operators.pages.credentials import KeysAdmin
from operators.pages.fields import WIDGETS
from providers.models import Provider


class ClientForm(SettingsForm):
    def save(self, commit: bool = True) -> Any:
        if self.moves():
            self.instance.endpoint_failing_since = None
        return super().save(commit)

    def changed_fields(self) -> set[str]:
        return super().changed_fields() | ({"endpoint_failing_since"} if self.moves() else set())

    def moves(self) -> bool:
        """Return True if the endpoint's address changes; its earlier failures then no longer count."""
        return "callback_url" in self.changed_data


created, disabled = moment("created_at"), moment("endpoint_disabled_at")
failing = moment("endpoint_failing_since", "endpoint failing since")


@admin.register(Client)
class ClientAdmin(ActingAdmin, KeysAdmin):
    form = ClientForm
    list_display = ("name", "state", "endpoint", "default_provider", "callback_url")
    list_filter = ("enabled",)
    search_fields = ("name", "=api_keys__prefix")
    search_help_text = "Part of the name, or the first twelve characters of an API key"
    formfield_overrides = WIDGETS
    fieldsets = (
        (None, {"fields": ("name", "enabled", "default_provider", "rate_limit", created)}),
        ("Notifications", {"fields": ("callback_url", "callback_method", "callback_body", "endpoint",
                                      failing, disabled, "endpoint_disabled_why")}),
    )  # fmt: skip
    readonly_fields = (created, "endpoint", failing, disabled, "endpoint_disabled_why")
    secret_permission = "clients.add_callbacksecret"  # noqa: S105  a permission's name
    secret_name = "callback secret"  # noqa: S105
    secret_use = "Notifications are signed with every unexpired secret."  # noqa: S105

    def get_queryset(self, request: HttpRequest) -> QuerySet[Client]:
        rows: QuerySet[Client] = super().get_queryset(request)
        return rows.select_related("default_provider").defer("default_provider__headers")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, queryset=Provider.objects.defer("headers"), **kwargs)

    @admin.display(description="state")
    def state(self, client: Client) -> SafeString:
        return pill("enabled", "ok") if client.enabled else pill("disabled", "bad")

    @admin.display(description="endpoint")
    def endpoint(self, client: Client) -> SafeString:
        if client.endpoint_disabled_at:
            return pill("disabled", "bad")
        return pill("failing", "warn") if client.endpoint_failing_since else pill("active", "ok")
