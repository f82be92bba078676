"""API keys and secrets on the pages of clients and providers: lists without secret values, create, add and revoke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from operators import credentials
from operators.audit import Refused, newest_entry
from operators.credentials import add_permission
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
        label="Lifetime in days", required=False, min_value=1, max_value=credentials.MAX_KEY_DAYS,
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


def _may_not_issue(request: HttpRequest, owner: Any) -> str:
    """Return the note that this user lacks permission for credentials of a new row, "" if they do not."""
    missing = [kind for kind in credentials.first_of(owner) if not request.user.has_perm(add_permission(kind))]
    names = " and the ".join(str(kind._meta.verbose_name) for kind in missing)
    return f"You may not create the {names}: ask an administrator to create what is missing." if names else ""


class SecretsAdmin(SettingsAdmin):
    """Page of a model that has secrets."""

    secret_form = SecretForm
    secret_model: type[Model]
    secret_use: str
    without_secret: Callable[[], Q]
    """Condition of the rows that lack a secret."""
    no_secret: str
    """Text about a row without a valid secret, and the consequence."""
    on_saving: str
    """The credentials that a new row gets."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(lacks_secret=type(self).without_secret())

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        note = _may_not_issue(request, self.model()) or self.on_saving
        return super().add_view(request, form_url, {"note": note} | (extra_context or {}))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Issue the credentials of a new row in the database transaction that inserts it, and show them once."""
        title, values = f"New {self.opts.verbose_name}: {obj}", credentials.issue_first(obj, by=staff(request))
        note = _may_not_issue(request, obj)
        return show(self, request, "shown_once", of=obj, title=title, values=values, note=note)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Warn if the row lacks a secret now, such as after a change of the scheme."""
        if self.get_queryset(request).filter(pk=obj.pk, lacks_secret=True).exists():
            self.message_user(request, f"{obj} {self.no_secret}.", messages.WARNING)
        return super().response_change(request, obj)

    def views(self) -> list[Any]:
        return [("<int:pk>/secrets/add/", "add_secret", self.add_secret_view), *super().views()]

    def add_secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        owner = self.owner(request, pk, add_permission(self.secret_model))
        name = str(self.secret_model._meta.verbose_name)
        return self.create(request, owner, self.secret_form, credentials.add_secret, name, self.secret_use)

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
                return show(self, request, "shown_once", title=f"New {name}: {owner}", values={name: value}, of=owner)
        says = [use, "A generated value is shown once, on the next page."]
        title, submit = f"Add {name}: {owner}", f"Add {name}"
        return show(self, request, "ask", of=owner, title=title, says=says, form=form, submit=submit)

    def done(self, request: HttpRequest, owner: Model, text: str, level: int = messages.SUCCESS) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(change_url(owner))

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {
            "warning": f"{obj} {self.no_secret}." if obj.lacks_secret else "",
            # Never reads the secret itself.
            "secrets": credentials.secrets_of(obj).order_by("id").only("created_at", "expires_at"),
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
        return self.create(request, owner, KeyForm, credentials.create_key, "API key", use)

    def revoke_view(self, request: HttpRequest, pk: int, key: int) -> HttpResponse:
        owner = self.owner(request, pk, "clients.change_apikey")
        found = get_object_or_404(owner.api_keys, pk=key)
        if request.method != "POST":
            says = ["Requests with this key are refused within two seconds. This cannot be undone."]
            title = f"Revoke the API key {found} ({found.name}) of {owner}"
            return show(self, request, "ask", of=owner, title=title, says=says, submit="Revoke key")
        if credentials.revoke_key(found, by=staff(request)):
            return self.done(request, owner, f"The key {found} is revoked.")
        return self.done(request, owner, f"The key {found} was revoked before.", messages.WARNING)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {"keys": obj.api_keys.order_by("id").defer("digest")}
