"""Who may come in, and what they did: users, roles, failed logins and the audit log, in the look of all other pages."""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from transactions.finding.filters import MOST_NAMES
from workers.admin.bases import FactsAdmin, ModelAdmin, moment
from workers.figures import MOST
from workers.ids import as_number

admin.site.unregister([User, Group])  # Django's own pages, which look like those of another program


def _held(user: Any) -> set[int]:
    """A user's permissions, by number; those of one who is not active, too, for whoever changes them may wake them."""
    held = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return set(held.order_by().values_list("pk", flat=True))


def _within(request: HttpRequest, permissions: Iterable[int]) -> bool:
    """Whether whoever asks holds all of these: nobody hands out, or takes over, more than they have."""
    return bool(request.user.is_superuser) or set(permissions) <= _held(request.user)


class _NoMore(ModelAdmin):
    """The fields that hand out permissions offer no more than whoever fills them in holds."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and not request.user.is_superuser:
            held = _held(request.user)
            if db_field.related_model is Group:
                more = Permission.objects.exclude(pk__in=held)
                field.queryset = Group.objects.exclude(permissions__in=more)
            else:
                field.queryset = field.queryset.filter(pk__in=held)
        return field


@admin.register(User)
class StaffAdmin(_NoMore, UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Whoever may change users becomes no more by it: not by their own page, not by another's password."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", moment("last_login", "last login"))
    list_filter = ("is_active", "is_superuser", "groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if request.user.is_superuser else ("is_superuser",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _reaches(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _reaches(request, obj)


def _reaches(request: HttpRequest, user: Any) -> bool:
    """Whether somebody's page may be changed by whoever asks: they are no more than these."""
    if user is None or request.user.is_superuser:
        return True
    return not user.is_superuser and _within(request, _held(user))


@admin.register(Group)
class RoleAdmin(_NoMore, GroupAdmin, ModelAdmin):  # type: ignore[misc]  # of what the request is called
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _contains(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _contains(request, obj)


def _contains(request: HttpRequest, role: Any) -> bool:
    return role is None or _within(request, role.permissions.values_list("pk", flat=True))


@admin.register(AccessAttempt)
class FailedLoginAdmin(FactsAdmin):
    """Whoever may delete one ends the wait of the person it locks out."""

    list_display = ("username", "ip_address", "failures_since_start", moment("attempt_time", "last try"), "path_info")
    search_fields = ("username",)
    search_help_text = "The whole name"
    fields = (*list_display, "user_agent")

    def known_as(self, term: str) -> Q:
        return Q(username=term)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")


class ByFilter(admin.SimpleListFilter):
    title = parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = User.objects.filter(is_staff=True).order_by("username").values_list("pk", "username")[:MOST_NAMES]
        return [(str(key), name) for key, name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(user=as_number(self.value() or "")) if self.value() else queryset


class OnFilter(admin.SimpleListFilter):
    title = parameter_name = "on"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = ContentType.objects.get_for_models(*admin.site._registry).items()
        return sorted(((str(kind.pk), str(model._meta.verbose_name)) for model, kind in found), key=itemgetter(1))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(content_type=as_number(self.value() or "")) if self.value() else queryset


@admin.register(LogEntry)
class AuditAdmin(FactsAdmin):
    """What staff did, with who and why: Django's pages write their own entries, `transactions.staff` the rest."""

    ordering = ("-id",)
    list_display = (moment("action_time", "at"), "user", "on", "what")
    list_filter = (ByFilter, OnFilter)
    search_fields = ("object_id",)
    search_help_text = f"The whole id of what it was done to; in the newest {MOST:,} entries any part of the text"
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        rows: QuerySet[LogEntry] = super().get_queryset(request)
        return rows.select_related("user", "content_type")

    def known_as(self, term: str) -> Q:
        newest = LogEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        said = Q(object_repr__icontains=term) | Q(change_message__icontains=term)
        return Q(object_id=term) | Q(pk__gt=newest - MOST) & said

    @admin.display(description="on")
    def on(self, entry: LogEntry) -> str:
        of = f"{entry.content_type.name if entry.content_type else ''} {entry.object_repr}"
        url = entry.get_admin_url()
        return format_html('<a href="{}">{}</a>', url, of) if url else of

    @admin.display(description="what, and why")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()
