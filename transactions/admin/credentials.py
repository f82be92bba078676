"""API keys and secrets on the pages of their owners: listed without what is secret, made to be seen once, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from transactions.admin.fields import WriteOnlyTextInput
from transactions.admin.pages import ask, show_once, staff
from transactions.credentials import secrets_of
from transactions.models import ApiKey, Client, Provider
from transactions.models.providers import validate_webhook_secret
from transactions.staff.credentials import add_secret, create_key, newest_key, newest_secret, revoke_key
from workers.admin.bases import SettingsAdmin, change_url, exact

FASTER = "Nothing was made: one has been added since that page was opened. Look at the list before you add another."


class NewestForm(forms.Form):
    """Carries what was the newest one when the page was made, so that a second press finds it changed."""

    newest = forms.IntegerField(widget=forms.HiddenInput)


class KeyForm(NewestForm):
    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="What it is for, such as the system that will use it",
    )
    days = forms.IntegerField(
        label="Lasts for",
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Days. Empty: until it is revoked",
    )


class SecretForm(NewestForm):
    def __init__(self, of: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.of = of

    older = forms.TypedChoiceField(
        label="Older secrets",
        widget=UnfoldAdminSelectWidget,
        choices=[
            ("1", "end in a day"),
            ("7", "end in a week"),
            ("0", "end now: one has leaked"),
            ("", "stay until another is added"),
        ],
        coerce=int,
        empty_value=None,
        required=False,
        initial="1",
        help_text="Until then both count: time to give the new one to the other side",
    )


class GivenSecretForm(SecretForm):
    """Providers hand out secrets of their own."""

    secret = forms.CharField(
        required=False,
        widget=WriteOnlyTextInput,
        strip=False,
        help_text="What the provider has given you; it is stored, and not shown again. Empty: a new one is made",
    )

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        if secret:
            validate_webhook_secret(self.of.webhook_auth, secret)
        return secret


class SecretsAdmin(SettingsAdmin):
    """The owner of secrets. `secret_permission` is needed to add one."""

    secret_form: type[SecretForm] = SecretForm
    secret_permission: str
    secret_name: str
    secret_use: str

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.add_secret_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_add_secret"
        return [path("<int:owner>/secrets/add/", view, name=name), *super().get_urls()]

    def add_secret_view(self, request: HttpRequest, owner: int) -> HttpResponse:
        of = self.owner(request, owner, self.secret_permission)
        form = self.secret_form(of, request.POST or None, initial={"newest": newest_secret(of)})
        title = f"Add a {self.secret_name} of {of}"
        if not form.is_valid():
            says = [self.secret_use, "A new one is shown once, on the next page."]
            return ask(self, request, form, title=title, of=of, says=says, submit="Add a secret")
        older = form.cleaned_data["older"]
        overlap = None if older is None else timedelta(days=older)
        given, newest = form.cleaned_data.get("secret"), form.cleaned_data["newest"]
        secret = add_secret(owner=of, overlap=overlap, by=staff(request), newest=newest, secret=given)
        if given and secret:
            self.message_user(request, f"The {self.secret_name} is stored.", messages.SUCCESS)
            return HttpResponseRedirect(change_url(of))
        return self.answer(request, of, secret, f"The new {self.secret_name} of {of}")

    def owner(self, request: HttpRequest, key: int, permission: str) -> Any:
        """The client or provider that this page is about. Raises PermissionDenied and Http404."""
        if not request.user.has_perm(permission):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=key)

    def answer(self, request: HttpRequest, of: Any, secret: str | None, title: str) -> HttpResponse:
        if secret is None:
            self.message_user(request, FASTER, messages.WARNING)
            return HttpResponseRedirect(change_url(of))
        return show_once(self, request, title=title, secret=secret, of=of)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "secrets": _secrets(obj),
            "secret_name": self.secret_name,
            "may_add_secret": request.user.has_perm(self.secret_permission),
        }


class KeysAdmin(SecretsAdmin):
    """The owner of API keys, too."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:owner>/keys/add/", wrap(self.add_key_view), name="transactions_client_add_key"),
            path("<int:owner>/keys/<int:key>/revoke/", wrap(self.revoke_view), name="transactions_client_revoke_key"),
            *super().get_urls(),
        ]

    def add_key_view(self, request: HttpRequest, owner: int) -> HttpResponse:
        of = self.owner(request, owner, "transactions.add_apikey")
        form = KeyForm(request.POST or None, initial={"newest": newest_key(of)})
        if not form.is_valid():
            says = [f"Whoever has the key acts as {of}.", "It is shown once, on the next page."]
            return ask(self, request, form, title=f"Create an API key of {of}", of=of, says=says, submit="Create a key")
        given = form.cleaned_data
        lasts = None if given["days"] is None else timedelta(days=given["days"])
        key = create_key(client=of, name=given["name"], lasts=lasts, by=staff(request), newest=given["newest"])
        return self.answer(request, of, key, f"The new API key of {of}")

    def revoke_view(self, request: HttpRequest, owner: int, key: int) -> HttpResponse:
        of = self.owner(request, owner, "transactions.change_apikey")
        found = ApiKey.objects.filter(client=of, pk=key).first()
        if found is None:
            raise Http404
        if request.method != "POST":
            says = ["Requests with this key are refused within two seconds. This cannot be undone."]
            title = f"Revoke the API key {found} ({found.name}) of {of}"
            return ask(self, request, forms.Form(), title=title, of=of, says=says, submit="Revoke the key")
        revoked = revoke_key(key_id=key, by=staff(request))
        text = f"The key {found} is revoked." if revoked else f"The key {found} was revoked before."
        self.message_user(request, text, messages.SUCCESS if revoked else messages.WARNING)
        return HttpResponseRedirect(change_url(of))

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {
            "keys": _keys(obj),
            "may_add_key": request.user.has_perm("transactions.add_apikey"),
            "may_revoke_key": request.user.has_perm("transactions.change_apikey"),
        }


def _secrets(of: Client | Provider) -> list[dict[str, Any]]:
    """What may be known of them. The secrets themselves are not even read."""
    rows = secrets_of(of).order_by("id").values("id", "created_at", "expires_at")
    return [{"id": row["id"], "created": exact(row["created_at"]), "expires": exact(row["expires_at"])} for row in rows]


def _keys(of: Client) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "created": exact(key.created_at),
            "used": exact(key.last_used_at),
            "expires": exact(key.expires_at),
            "revoked": exact(key.revoked_at),
        }
        for key in of.api_keys.order_by("id").defer("digest")
    ]
