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
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from operators.audit import Refused, newest_entry
from operators.credentials import MAX_KEY_DAYS, add_secret, create_key, revoke_key, secrets_of
from operators.pages.actions import SeenForm
from operators.pages.base import SettingsAdmin, WriteOnlyTextInput, change_url, show, staff

PRIVATE = {"autocomplete": "off", "spellcheck": "false"}
"""HTML attributes of a field with a secret."""


class KeyForm(SeenForm):
    """Arguments of `create_key`."""

    name = forms.CharField(
        max_length=100, widget=UnfoldAdminTextInputWidget, help_text="Its purpose, such as the system that will use it"
    )
    days = forms.IntegerField(
        label="Lifetime in days", required=False, min_value=1, max_value=MAX_KEY_DAYS,
        widget=UnfoldAdminIntegerFieldWidget, help_text="Empty: the key does not expire",
    )  # fmt: skip


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
        widget=WriteOnlyTextInput(PRIVATE),
        strip=False,
        help_text="The secret that the provider has issued; it is not shown again. Leave empty to generate one.",
    )


def add_permission(model: type[Model]) -> str:
    """Return the name of the permission to add a row of a model."""
    return f"{model._meta.app_label}.add_{model._meta.model_name}"


class SecretsAdmin(SettingsAdmin):
    """Page of a model that has secrets."""

    secret_form = SecretForm
    secret_model: type[Model]
    secret_use: str

    def views(self) -> list[Any]:
        return [("<int:pk>/secrets/add/", "add_secret", self.add_secret_view), *super().views()]

    def add_secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        owner = self.owner(request, pk, add_permission(self.secret_model))
        name = str(self.secret_model._meta.verbose_name)
        return self.create(request, owner, self.secret_form, add_secret, name, self.secret_use)

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
                return show(self, request, "shown_once", title=f"New {name}: {owner}", secret=value, of=owner)
        says = [use, "A generated value is shown once, on the next page."]
        title, submit = f"Add {name}: {owner}", f"Add {name}"
        return show(self, request, "ask", of=owner, title=title, says=says, form=form, submit=submit)

    def done(self, request: HttpRequest, owner: Model, text: str, level: int = messages.SUCCESS) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(change_url(owner))

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {
            "secrets": secrets_of(obj).order_by("id").only("created_at", "expires_at"),  # never reads the secret itself
            "secret_name": self.secret_model._meta.verbose_name,
            "may_add_secret": request.user.has_perm(add_permission(self.secret_model)),
        }


class KeysAdmin(SecretsAdmin):
    """Page of a model that has API keys as well."""

    def views(self) -> list[Any]:
        return [
            ("<int:pk>/keys/add/", "add_key", self.add_key_view),
            ("<int:pk>/keys/<int:key>/revoke/", "revoke_key", self.revoke_view),
            *super().views(),
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
            return show(self, request, "ask", of=owner, title=title, says=says, submit="Revoke key")
        if revoke_key(found, by=staff(request)):
            return self.done(request, owner, f"The key {found} is revoked.")
        return self.done(request, owner, f"The key {found} was revoked before.", messages.WARNING)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {"keys": obj.api_keys.order_by("id").defer("digest")}
