"""API keys and secrets on the pages of clients and providers: lists without secret values, create, add and revoke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from operators.audit import Refused, newest_entry
from operators.credentials import MAX_KEY_DAYS, add_secret, create_key, revoke_key, secrets_of
from operators.pages.actions import SeenForm
from operators.pages.base import SettingsAdmin, change_url, exact
from operators.pages.confirm import ask, show_once, staff
from operators.pages.fields import WriteOnlyTextInput


class KeyForm(SeenForm):
    """Arguments of `create_key`."""

    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its purpose, such as the system that will use it",
    )
    days = forms.IntegerField(
        label="Lifetime in days",
        required=False,
        min_value=1,
        max_value=MAX_KEY_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: the key does not expire",
    )


class SecretForm(SeenForm):
    """Arguments of `add_secret`, which generates the secret."""

    overlap_days = forms.TypedChoiceField(
        label="Older secrets",
        widget=UnfoldAdminSelectWidget,
        choices=[
            ("1", "expire in a day"),
            ("7", "expire in a week"),
            ("0", "expire now, for a leaked secret"),
            ("", "stay valid until the next secret is added"),
        ],
        coerce=int,
        empty_value=None,
        required=False,
        initial="1",
        help_text="Until then the older secrets stay valid too: give the new one to the other side in that time",
    )


class GivenSecretForm(SecretForm):
    """Also accepts a secret that the provider has issued."""

    secret = forms.CharField(
        required=False,
        widget=WriteOnlyTextInput,
        strip=False,
        help_text="The secret that the provider has issued; it is stored and not shown again. Empty: generate one",
    )


class SecretsAdmin(SettingsAdmin):
    """Page of a model that has secrets. Adding one needs `secret_permission`."""

    secret_form = SecretForm
    secret_permission: str
    secret_name: str
    secret_use: str

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.add_secret_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_add_secret"
        return [path("<int:pk>/secrets/add/", view, name=name), *super().get_urls()]

    def add_secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        owner = self.owner(request, pk, self.secret_permission)
        return self.create(request, owner, self.secret_form, add_secret, self.secret_name, self.secret_use)

    def owner(self, request: HttpRequest, pk: int, permission: str) -> Any:
        """Return the client or provider of the page. Raises PermissionDenied and Http404."""
        if not request.user.has_perm(permission):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def create(
        self, request: HttpRequest, owner: Any, form_class: Any, service: Callable[..., str], name: str, use: str
    ) -> HttpResponse:
        """Ask with the form; once it is valid, call `service` with its fields and show the result once."""
        form = form_class(request.POST or None, initial={"seen": newest_entry(owner)})
        if form.is_valid():
            try:
                value = service(owner, **form.cleaned_data, by=staff(request))
            except Refused as why:
                return self.done(request, owner, f"Nothing was done: {why}.", messages.WARNING)
            except ValidationError as error:  # the provider's scheme needs another format
                form.add_error("secret", error.messages)
            else:
                if form.cleaned_data.get("secret"):
                    return self.done(request, owner, f"The {name} is stored.")
                return show_once(self, request, title=f"New {name}: {owner}", secret=value, of=owner)
        says = [use, "A generated value is shown once, on the next page."]
        return ask(self, request, form, title=f"Add {name}: {owner}", of=owner, says=says, submit=f"Add {name}")

    def done(self, request: HttpRequest, owner: Model, text: str, level: int = messages.SUCCESS) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(change_url(owner))

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        secrets = secrets_of(obj).order_by("id").only("created_at", "expires_at")  # never reads the secret itself
        return {
            "secrets": [{"id": secret.pk, **_times(secret, "created", "expires")} for secret in secrets],
            "secret_name": self.secret_name,
            "may_add_secret": request.user.has_perm(self.secret_permission),
        }


class KeysAdmin(SecretsAdmin):
    """Page of a model that has API keys as well."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/keys/add/", view(self.add_key_view), name="clients_client_add_key"),
            path("<int:pk>/keys/<int:key>/revoke/", view(self.revoke_view), name="clients_client_revoke_key"),
            *super().get_urls(),
        ]

    def add_key_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        owner = self.owner(request, pk, "clients.add_apikey")
        use = f"Requests with the key act as {owner}."
        return self.create(request, owner, KeyForm, create_key, "API key", use)

    def revoke_view(self, request: HttpRequest, pk: int, key: int) -> HttpResponse:
        owner = self.owner(request, pk, "clients.change_apikey")
        found = get_object_or_404(owner.api_keys, pk=key)
        if request.method != "POST":
            says = ["Requests with this key are refused within two seconds. This cannot be undone."]
            title = f"Revoke the API key {found} ({found.name}) of {owner}"
            return ask(self, request, forms.Form(), title=title, of=owner, says=says, submit="Revoke key")
        if revoke_key(found, by=staff(request)):
            return self.done(request, owner, f"The key {found} is revoked.")
        return self.done(request, owner, f"The key {found} was revoked before.", messages.WARNING)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        keys = obj.api_keys.order_by("id").defer("digest")
        return super().about(request, obj) | {
            "keys": [{"key": key, **_times(key, "created", "last_used", "expires", "revoked")} for key in keys],
            "may_add_key": request.user.has_perm("clients.add_apikey"),
            "may_revoke_key": request.user.has_perm("clients.change_apikey"),
        }


def _times(row: Model, *names: str) -> dict[str, str]:
    """Return the texts of these times of a row, such as `created` for its `created_at`."""
    return {name: exact(getattr(row, f"{name}_at")) for name in names}
