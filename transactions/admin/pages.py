"""Pages between a button and what it does: they say what will happen, ask what must be known, show what was made."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from workers.admin.bases import ModelAdmin, change_url


def staff(request: HttpRequest) -> User:
    """Who is acting; the admin lets nobody else in."""
    assert isinstance(request.user, User)  # noqa: S101  for the type checker: the admin's views ask before
    return request.user


def ask(page: ModelAdmin, request: HttpRequest, form: forms.Form, *, title: str, **context: Any) -> HttpResponse:
    """A form to confirm; `says` are sentences, `submit` the button (empty: nothing can be done), `of` the object it is
    about."""
    return _page(page, request, "admin/relay/ask.html", title=title, form=form, **context)


def show_once(page: ModelAdmin, request: HttpRequest, *, title: str, secret: str, **context: Any) -> HttpResponse:
    """What was made, on this answer alone: no message, no session and no log ever holds it."""
    return _page(page, request, "admin/relay/shown_once.html", title=title, secret=secret, **context)


def _page(page: ModelAdmin, request: HttpRequest, template: str, *, of: Any = None, **context: Any) -> TemplateResponse:
    where = {"opts": page.opts, "of": of, "back": change_url(of) if of is not None else None}
    return TemplateResponse(request, template, page.admin_site.each_context(request) | where | context)
