"""Base classes of the admin pages: read-only facts, settings, and lists that stay fast on a million rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.paginator import Page, Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import PROTECT, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from psycopg2.errors import QueryCanceled

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
    """Paginator that reads the ids of the first MOST rows once, and takes count and pages from them.

    A full count of a million rows costs more than the page. A query for one page only may read the whole table,
    because the planner expects its few rows early.
    """

    @cached_property
    def _ids(self) -> list[Any]:
        rows: Any = self.object_list
        return list(rows.values_list("pk", flat=True)[:MOST])

    @property
    def count(self) -> int:
        return at_most(len(self._ids), MOST)

    def page(self, number: Any) -> Page[Any]:
        rows: Any = self.object_list
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        return Page(rows.filter(pk__in=self._ids[first : first + self.per_page]), number, self)


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
    """Pages whose template gets more than the fields of an object."""

    list_filter_submit = False
    list_fullwidth = True

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
            return notice(self, request, f"This list of {self.opts.verbose_name_plural} took too long", says, 503)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def find_ids(self, term: str) -> Q:
        """Return the condition for rows with exactly this id. Set `search_fields` to show the search box."""
        return Q(pk__in=[])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.find_ids(term)) if term else queryset), False


def notice(page: ModelAdmin, request: HttpRequest, title: str, says: Sequence[str], status: int) -> HttpResponse:
    """Return a page that says why a list or file is unavailable."""
    context = page.admin_site.each_context(request) | {"title": title, "opts": page.opts, "says": says}
    return TemplateResponse(request, "admin/relay/notice.html", context, status=status)


class SettingsForm(ModelForm):
    """Form that writes only the changed fields, so that a stale page does not undo a change by the service, such as a
    pause."""

    write_only: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.show_hidden_initial = name not in self.write_only

    def changed_fields(self) -> set[str]:
        """Return the names of the model fields to write."""
        return set(self.changed_data) & {field.name for field in self._meta.model._meta.concrete_fields}


class SettingsAdmin(PageAdmin):
    """Pages of settings. A row that other rows refer to cannot be deleted."""

    form = SettingsForm
    show_facets = admin.ShowFacets.NEVER

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_fields())
        else:
            obj.save(force_insert=True)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """Redirect to the page of the new object, which needs a key or a secret next."""
        return HttpResponseRedirect(change_url(obj))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete a row that others refer to. Django would list all of them; this names their models."""
        if kept := [reason for obj in objs for reason in _references(obj)]:
            return [], {}, set(), kept
        to_delete, counts, _, protected = super().get_deleted_objects(objs, request)
        # Rows deleted by cascade need no permission of their own; PROTECT keeps all others.
        return to_delete, counts, set(), protected


def _references(obj: Model) -> list[str]:
    relations: list[Any] = [field for field in obj._meta.get_fields(include_hidden=True) if field.auto_created]
    found = []
    for relation in relations:
        if getattr(relation, "on_delete", None) is not PROTECT:
            continue
        model = relation.related_model
        if model._base_manager.filter(**{relation.field.name: obj}).exists():
            found.append(f"{model._meta.verbose_name_plural} that refer to {obj}")
    return found


def moment(field: str, name: str = "") -> Any:
    """Return a column with a time in UTC, to the millisecond; the admin's own format ends at the minute."""

    @admin.display(description=name or field.removesuffix("_at").replace("_", " "))
    def show(obj: Any) -> str:
        return exact(getattr(obj, field)) or "-"

    show.__name__ = f"{field}_exactly"
    return show


def exact(time: datetime | None) -> str:
    """Return a time in UTC, to the millisecond; empty for None."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}" if time else ""


def pill(text: str, tone: str = "") -> SafeString:
    """Return a coloured label; `tone` is ok, warn, bad or empty. The text must be clear without the colour."""
    return format_html('<span class="relay-pill relay-pill--{}">{}</span>', tone or "calm", text)


def short(text: str, most: int = 18) -> SafeString | str:
    """Return a text cut to `most` characters, with the full text as tooltip."""
    return format_html('<span title="{}">{}…</span>', text, text[: most - 1]) if len(text) > most else text


def link(page: str, key: Any, text: Any) -> SafeString:
    """Return a link to the page of another model, such as `workers_job`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[key]), text)


def change_url(obj: Model) -> str:
    """Return the address of an object's page."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
