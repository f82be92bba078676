"""The pages of clients: their settings, API keys and callback secrets."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from transactions.admin.credentials import KeysAdmin
from transactions.admin.fields import ReadableJSON
from transactions.fields import HttpUrlField
from transactions.models import Client, Provider
from workers.admin.bases import SettingsForm, moment


class ClientForm(SettingsForm):
    endpoint_enabled = forms.BooleanField(
        required=False,
        initial=True,
        help_text="The service disables an endpoint that answers 410 Gone. Meanwhile notifications wait",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["endpoint_enabled"] = self.instance.endpoint_disabled_at is None

    def save(self, commit: bool = True) -> Any:
        if "endpoint_enabled" in self.changed_data:
            enabled = self.cleaned_data["endpoint_enabled"]
            self.instance.endpoint_disabled_at = None if enabled else datetime.now(UTC)
            self.instance.endpoint_disabled_why = "" if enabled else "by staff"
        return super().save(commit)

    def changed_fields(self) -> set[str]:
        endpoint = {"endpoint_disabled_at", "endpoint_disabled_why"}
        return super().changed_fields() | (endpoint if "endpoint_enabled" in self.changed_data else set())


created, disabled = moment("created_at"), moment("endpoint_disabled_at")


@admin.register(Client)
class ClientAdmin(KeysAdmin):
    form = ClientForm
    list_display = ("name", "enabled", "endpoint_enabled", "default_provider", "callback_url")
    list_filter = ("enabled",)
    search_fields = ("name", "=api_keys__prefix")
    search_help_text = "Part of its name, or the twelve characters that one of its API keys begins with"
    formfield_overrides = {
        HttpUrlField: {"widget": AdminTextInputWidget},
        models.JSONField: {"form_class": ReadableJSON},
    }
    fieldsets = (
        (None, {"fields": ("name", "enabled", "default_provider", "rate_limit", created)}),
        ("Notifications", {"fields": ("callback_url", "callback_method", "callback_body", "endpoint_enabled",
                                      disabled, "endpoint_disabled_why")}),
    )  # fmt: skip
    readonly_fields = (created, disabled, "endpoint_disabled_why")
    secret_permission = "transactions.add_callbacksecret"  # noqa: S105  a permission's name
    secret_name = "callback secret"  # noqa: S105
    secret_use = "Notifications are signed with every secret that has not ended."  # noqa: S105

    def get_queryset(self, request: HttpRequest) -> QuerySet[Client]:
        rows: QuerySet[Client] = super().get_queryset(request)
        return rows.select_related("default_provider").defer("default_provider__headers")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, queryset=Provider.objects.defer("headers"), **kwargs)

    @admin.display(description="endpoint enabled", boolean=True)
    def endpoint_enabled(self, client: Client) -> bool:
        return client.endpoint_disabled_at is None
