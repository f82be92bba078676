"""Confirmation pages of actions, and pages that show a new secret once."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from operators.pages.base import ModelAdmin, change_url


def staff(request: HttpRequest) -> User:
    """Return the user of a request to the admin."""
    assert isinstance(request.user, User)  # noqa: S101  for the type checker: admin views check it
    return request.user


def ask(page: ModelAdmin, request: HttpRequest, form: forms.Form, *, title: str, **context: Any) -> HttpResponse:
    """Return a page with a form to confirm an action on `of`.

    `says` are sentences above the form, `submit` is the label of the button; an empty one hides the form.
    """
    return _page(page, request, "admin/relay/ask.html", title=title, form=form, **context)


def show_once(page: ModelAdmin, request: HttpRequest, *, title: str, secret: str, **context: Any) -> HttpResponse:
    """Return a page with a new secret, which no message, session or log holds."""
    return _page(page, request, "admin/relay/shown_once.html", title=title, secret=secret, **context)


def _page(page: ModelAdmin, request: HttpRequest, template: str, *, of: Any = None, **context: Any) -> TemplateResponse:
    where = {"opts": page.opts, "of": of, "back": change_url(of) if of is not None else None}
    return TemplateResponse(request, template, page.admin_site.each_context(request) | where | context)
