"""Base classes and parts of the admin pages: read-only facts, settings, lists that stay fast on a million rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import PROTECT, JSONField, Model, Q, QuerySet
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from psycopg2.errors import QueryCanceled
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from operators.search import list_key
from operators.templatetags.relay import exact
from providers.models import Provider
from workers.foundation.fields import HttpUrlField
from workers.foundation.formatting import MOST, at_most

if TYPE_CHECKING:  # unfold has no type hints, and Django's classes are generic for the type checker only
    from django.contrib.admin.views.main import ChangeList

    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
    _Paginator = Paginator[Any]
else:
    from unfold.admin import ModelAdmin
    from unfold.views import ChangeList

    ModelForm, _Paginator = forms.ModelForm, Paginator


PATIENCE = 3.0
"""Timeout in seconds of a list's database queries."""


class BoundedPaginator(_Paginator):
    """Paginator that reads the keys of the first MOST rows once, and takes count and pages from them.

    A full count of a million rows costs more than the page. A query for one page only may read the whole table,
    because the planner expects its few rows early.
    """

    object_list: Any

    @cached_property
    def _keys(self) -> list[Any]:
        return list(self.object_list.values_list(list_key(self.object_list.model), flat=True)[:MOST])

    @property
    def count(self) -> int:
        return at_most(len(self._keys), MOST)

    def page(self, number: Any) -> Page[Any]:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        keys = self._keys[first : first + self.per_page]
        rows = self.object_list.filter((f"{list_key(self.object_list.model)}__in", keys))
        return Page(rows, number, self)


class TooSlow(Exception):
    """A list's queries took longer than PATIENCE."""


class FactsList(ChangeList):
    """List whose queries end after PATIENCE seconds. Raises TooSlow."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = %s", [round(PATIENCE * 1000)])
                super().get_results(request)
                self.result_list: QuerySet[Any] = self.paginator.get_page(self.page_num).object_list
                len(self.result_list)  # evaluate within the timeout
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled):
                raise TooSlow from error
            raise


class PageAdmin(ModelAdmin):
    """List and pages of a model, with further pages; templates get more than the fields of an object."""

    list_filter_submit = False
    list_fullwidth = True
    joined: tuple[str, ...] = ()
    """Relations that are read in the same query."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Join the relations, without the headers of providers, which would be decrypted for each row."""
        secret = [f"{one}__headers" for one in self.joined if self.opts.get_field(one).related_model is Provider]
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.joined).defer(*secret) if self.joined else rows

    def views(self) -> list[tuple[str, str, Callable[..., Any]]]:
        """Return the further pages: the route, the end of the URL's name, and the view."""
        return []

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [*(path(route, view(of), name=f"{name}_{end}") for route, end, of in self.views()), *super().get_urls()]

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return additional context for the template of an object's page."""
        return {}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if (obj := kwargs.get("obj")) is not None:
            context.update(self.about(request, obj))
        return super().render_change_form(request, context, *args, **kwargs)


class FactsAdmin(PageAdmin):
    """Read-only pages; superusers cannot change these rows either."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each facet would count the table
    sortable_by = ()  # the default order is served by an index; any other would sort the table
    list_per_page = 50
    list_max_show_all = 0
    narrow = ""
    """Advice on the page of a timeout."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FactsList]:
        return FactsList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except TooSlow:
            says = [f"The query was stopped after {PATIENCE:g} seconds.", self.narrow]
            title = f"This list of {self.opts.verbose_name_plural} took too long"
            return show(self, request, "notice", title=title, says=says, status=503)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def find_ids(self, term: str) -> Q:
        """Return the condition for rows with exactly this id. Set `search_fields` to show the search box."""
        return Q(pk__in=[])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.find_ids(term)) if term else queryset), False


def show(
    page: ModelAdmin, request: HttpRequest, template: str, *, of: Any = None, status: int = 200, **context: Any
) -> TemplateResponse:
    """Return a page about `of`, made from a template in `admin/relay/`.

    `ask` has a form to confirm an action; `shown_once` has new secrets, which no message, session or log holds;
    `notice` says why a list or file is unavailable.
    """
    where = {"opts": page.opts, "of": of, "back": change_url(of) if of is not None else None}
    context = page.admin_site.each_context(request) | where | context
    return TemplateResponse(request, f"admin/relay/{template}.html", context, status=status)


def staff(request: HttpRequest) -> User:
    """Return the user of a request to the admin."""
    assert isinstance(request.user, User)  # noqa: S101  for the type checker: admin views check it
    return request.user


class _WriteOnly:
    """Widget that never shows its value."""

    def format_value(self, value: Any) -> None:
        return None


class WriteOnlyTextInput(_WriteOnly, UnfoldAdminTextInputWidget):
    """Text input that never shows its value."""


class WriteOnlyTextarea(_WriteOnly, UnfoldAdminTextareaWidget):
    """Text area that never shows its value."""


class ReadableJSON(forms.JSONField):
    """JSON field that shows one setting a line."""

    def prepare_value(self, value: Any) -> Any:
        given = value is None or isinstance(value, InvalidJSONInput)
        return value if given else json.dumps(value, indent=2, ensure_ascii=False)


class SettingsForm(ModelForm):
    """Form that writes only the changed fields, so that a stale page does not undo a change by the service, such as a
    pause."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = not isinstance(field.widget, WriteOnlyTextarea)

    def further(self) -> dict[str, Any]:
        """Return values to write besides those of the form's own fields."""
        return {}

    def save(self, commit: bool = True) -> Any:
        for name, value in self.further().items():
            setattr(self.instance, name, value)
        return super().save(commit)

    def changed_fields(self) -> set[str]:
        """Return the names of the model fields to write."""
        own = {field.name for field in self._meta.model._meta.concrete_fields}
        return set(self.changed_data) & own | self.further().keys()


class SettingsAdmin(PageAdmin):
    """Pages of settings. A row that other rows refer to cannot be deleted."""

    form = SettingsForm
    show_facets = admin.ShowFacets.NEVER
    formfield_overrides = {
        HttpUrlField: {"widget": UnfoldAdminTextInputWidget},
        JSONField: {"form_class": ReadableJSON, "widget": UnfoldAdminTextareaWidget},
    }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_fields())
        else:
            obj.save(force_insert=True)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete a row that others refer to. Django would list all of them; this names their models."""
        if kept := [reason for obj in objs for reason in _references(obj)]:
            return [], {}, set(), kept
        to_delete, counts, _, protected = super().get_deleted_objects(objs, request)
        # Rows deleted by cascade need no permission of their own; PROTECT keeps all others.
        return to_delete, counts, set(), protected


def _references(obj: Model) -> list[str]:
    relations = [one for one in obj._meta.get_fields(include_hidden=True) if getattr(one, "on_delete", None) is PROTECT]
    return [
        f"{one.related_model._meta.verbose_name_plural} that refer to {obj}"
        for one in cast(Any, relations)
        if one.related_model._base_manager.filter(**{one.field.name: obj}).exists()
    ]


def column(title: str, value: Callable[[Any], Any], *, name: str = "", empty: str | None = None) -> Any:
    """Return a column of a list, or a fact on a page. `name` is the end of its CSS class, `empty` stands for ""."""
    value.__name__ = name or title.replace(" ", "_")
    return admin.display(description=title, empty_value=empty)(value)


def moment(field: str, title: str = "") -> Any:
    """Return a column with a time in UTC, to the millisecond; the admin's own format ends at the minute."""
    title = title or field.removesuffix("_at").replace("_", " ")
    return column(title, lambda obj: exact(getattr(obj, field)) or "-", name=f"{field}_exactly")


TONES = {
    **dict.fromkeys(("active", "alive", "applied", "completed", "done", "enabled"), "ok"),
    **dict.fromkeys(("declined", "failing", "stopped"), "warn"),
    **dict.fromkeys(("contradicting", "disabled", "failed"), "bad"),
}
"""Tones of states; others are neutral."""


def pill(text: str, tone: str = "") -> SafeString:
    """Return a coloured label; `tone` is ok, warn or bad, by default that of the state. It is clear without colour."""
    return format_html('<span class="relay-pill relay-pill--{}">{}</span>', tone or TONES.get(text, "calm"), text)


def short(text: str, most: int = 18) -> SafeString | str:
    """Return a text cut to `most` characters, with the full text as tooltip."""
    return format_html('<span title="{}">{}…</span>', text, text[: most - 1]) if len(text) > most else text


def link(page: str, key: Any, text: Any) -> SafeString:
    """Return a link to the page of another model, such as `workers_job`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[key]), text)


def change_url(obj: Model) -> str:
    """Return the address of an object's page."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
