"""The admin's foundation: facts are shown and never changed, and every list stays fast on a million rows."""

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

from workers.figures import MOST, at_most

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
"""Seconds that the database may look for the rows of a list."""


class BoundedPaginator(_Paginator):
    """Finds the ids of the first MOST rows, once, and takes count and pages from them.

    A full count of a million rows costs more than the page itself. And for a page alone the planner hopes to meet its
    few rows soon, and reads everything when there are none.
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
    """A list was not found within PATIENCE."""


class FactsList(ChangeList):
    """A list that is found within PATIENCE, or not at all: nobody waits for a page that hangs, and the database does
    not work for nobody."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = %s", [round(PATIENCE * 1000)])
                super().get_results(request)
                self.result_list: QuerySet[Any] = self.paginator.get_page(self.page_num).object_list
                len(self.result_list)  # now, not when the page is made
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled):
                raise TooSlow from error
            raise


class PageAdmin(ModelAdmin):
    """Every page of one object may tell more than its fields."""

    list_filter_submit = False
    list_fullwidth = True

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What the object's template gets besides its fields."""
        return {}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context.update(self.about(request, obj))
        return super().render_change_form(request, context, add, change, form_url, obj)


class FactsAdmin(PageAdmin):
    """What happened: shown to whoever may view it, and changed by nobody, superusers included."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would be a count over the table
    sortable_by = ()  # the given order is an index's; any other would sort the table
    list_per_page = 50
    list_max_show_all = 0
    narrow = ""
    """What finds fewer rows, said to whoever waited for PATIENCE."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FactsList]:
        return FactsList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except TooSlow:
            says = [
                f"The database was stopped after {PATIENCE:g} seconds. Nothing is wrong with the rows: there are too "
                "many to look through for these few.",
                self.narrow,
            ]
            return notice(self, request, f"These {self.opts.verbose_name_plural} take too long to find", says, 503)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def known_as(self, term: str) -> Q:
        """What the search finds: rows with exactly this id, by an index. Set `search_fields` to show the box."""
        return Q(pk__in=[])

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.known_as(term)) if term else queryset), False


def notice(page: ModelAdmin, request: HttpRequest, title: str, says: Sequence[str], status: int) -> HttpResponse:
    """A page that says why there is nothing to see now."""
    context = page.admin_site.each_context(request) | {"title": title, "opts": page.opts, "says": says}
    return TemplateResponse(request, "admin/relay/notice.html", context, status=status)


class SettingsForm(ModelForm):
    """Writes only what was changed on the page: what the service itself has changed meanwhile (a pause, a disabled
    endpoint) is not undone by a page that was opened before."""

    write_only: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.show_hidden_initial = name not in self.write_only

    def changed_fields(self) -> set[str]:
        """The model's fields that are to be written."""
        return set(self.changed_data) & {field.name for field in self._meta.model._meta.concrete_fields}


class SettingsAdmin(PageAdmin):
    """What operators set; checked by the model's own rules, and kept while anything refers to it."""

    form = SettingsForm
    show_facets = admin.ShowFacets.NEVER

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_fields())
        else:
            obj.save(force_insert=True)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """On to its own page: a new one needs a key or a secret next."""
        return HttpResponseRedirect(change_url(obj))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """One that is referred to is kept, and the page says by what: Django would list every one of the rows."""
        if kept := [reason for obj in objs for reason in _references(obj)]:
            return [], {}, set(), kept
        to_delete, counts, _, protected = super().get_deleted_objects(objs, request)
        # What goes with it belongs to it; what must stay is protected by the models.
        return to_delete, counts, set(), protected


def _references(obj: Model) -> list[str]:
    relations: list[Any] = [field for field in obj._meta.get_fields(include_hidden=True) if field.auto_created]
    found = []
    for relation in relations:
        if getattr(relation, "on_delete", None) is not PROTECT:
            continue
        model = relation.related_model
        if model._base_manager.filter(**{relation.field.name: obj}).exists():
            found.append(f"{model._meta.verbose_name_plural} that name {obj}")
    return found


def moment(field: str, name: str = "") -> Any:
    """A column with a time to the millisecond, in UTC: the admin's own format ends at the minute."""

    @admin.display(description=name or field.removesuffix("_at").replace("_", " "))
    def show(obj: Any) -> str:
        return exact(getattr(obj, field)) or "-"

    show.__name__ = f"{field}_exactly"
    return show


def exact(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}" if time else ""


def pill(text: str, tone: str = "") -> SafeString:
    """A state in a word; `tone` is ok, warn, bad or empty. Never the colour alone: the word says it."""
    return format_html('<span class="relay-pill relay-pill--{}">{}</span>', tone or "calm", text)


def short(text: str, most: int = 18) -> SafeString | str:
    """A long id, cut; the whole of it shows when it is pointed at."""
    return format_html('<span title="{}">{}…</span>', text, text[: most - 1]) if len(text) > most else text


def link(page: str, key: Any, text: Any) -> SafeString:
    """A link to another model's page, such as `workers_job`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{page}_change", args=[key]), text)


def change_url(obj: Model) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
