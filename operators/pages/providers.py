"""Pages of providers: settings, circuit breakers and webhook secrets."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import CharField, Exists, OuterRef, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operators.pages.actions import ActingAdmin
from operators.pages.base import SettingsForm, WriteOnlyTextarea, column, moment, pill
from operators.pages.credentials import PRIVATE, GivenSecretForm, SecretsAdmin
from providers.fields import validate_headers
from providers.models import UNVERIFIABLE, Provider, WebhookSecret, without_webhook_secret
from providers.webhook_urls import webhook_url
from workers.breaker import FAILING
from workers.foundation.encryption import SecretUnreadable
from workers.lanes import Lane
from workers.models import Breaker


class ProviderForm(SettingsForm):
    """Settings form. The headers are secret: the form replaces them and never shows them."""

    new_headers = forms.JSONField(
        label="Headers", required=False, widget=WriteOnlyTextarea(PRIVATE | {"rows": 3}), validators=[validate_headers]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "new_headers" in self.fields:
            self.fields["new_headers"].help_text = (
                "Fixed request headers, such as the provider's API key, as a JSON object of strings; stored encrypted. "
                f"{headers_note(self.instance)}. Leave empty to keep them; {{}} removes them"
            )

    def further(self) -> dict[str, Any]:
        headers = self.cleaned_data.get("new_headers")
        return {} if headers is None else {"headers": headers}


def headers_note(provider: Provider) -> str:
    """Return how many headers are set."""
    try:
        count = len(provider.headers)
    except SecretUnreadable:
        return "The headers cannot be read: check ENCRYPTION_KEYS"
    return f"{count or 'No'} header{'' if count == 1 else 's'} set"


def _state(provider: Any) -> SafeString:
    if provider.paused:
        return pill(f"paused: {provider.paused_why}" if provider.paused_why else "paused", "bad")
    if provider.has_open_breaker and provider.circuit_breaker:
        return pill("circuit breaker open", "warn")
    if provider.is_failing:
        return pill("failing", "warn")
    return pill("no valid webhook secret", "warn") if provider.lacks_secret else pill("active")


created = moment("created_at")
address = column("webhook URL", lambda provider: webhook_url(provider) if provider.pk else "shown after saving")


@admin.register(Provider)
class ProviderAdmin(ActingAdmin, SecretsAdmin):
    form = ProviderForm
    list_display = ("slug", column("state", _state), "base_url", "webhook_auth", "max_in_flight")
    list_filter = ("paused",)
    search_fields = ("slug",)
    fieldsets = (
        (None, {"fields": ("slug", "paused", "paused_why", created)}),
        ("Requests", {"fields": ("adapter", "base_url", "create_path", "create_body", "status_path", "status_field",
                                 "status_map", "new_headers")}),
        ("Timing and limits", {"fields": ("check_before_create", "create_timeout", "settle_window", "create_retries",
                                          "create_retry_delay", "first_poll", "second_poll", "poll_growth", "poll_cap",
                                          "track_for", "track_grace", "max_in_flight", "max_calls_per_second",
                                          "circuit_breaker")}),
        ("Webhooks", {"fields": (address, "webhook_auth", "webhook_signature_header", "webhook_signature_prefix",
                                         "webhook_allowed_ips", "webhook_id_field", "webhook_status_field")}),
    )  # fmt: skip
    secret_form = GivenSecretForm
    secret_model = WebhookSecret
    secret_use = "Webhooks signed with any unexpired secret are accepted."  # noqa: S105
    without_secret = staticmethod(without_webhook_secret)
    no_secret = UNVERIFIABLE
    on_saving = "Saving creates a webhook secret and shows it once; the scheme url-token needs none."

    def get_queryset(self, request: HttpRequest) -> Any:
        lane = Concat(Value(Lane.PROVIDER), Cast(OuterRef("pk"), CharField()))
        breakers = Breaker.objects.filter(lane=lane)
        is_open, fails = Exists(breakers.filter(opened_at__isnull=False)), Exists(breakers.filter(FAILING))
        return super().get_queryset(request).defer("headers").annotate(has_open_breaker=is_open, is_failing=fails)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {"breakers": Breaker.objects.filter(lane=obj.lane)}

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        """The slug stays: webhook addresses contain it, and their tokens are derived from it."""
        return ["paused", "paused_why", created, address, *(["slug"] if obj else [])]

    @admin.display(description="headers")
    def new_headers(self, provider: Provider) -> str:
        return headers_note(provider)
