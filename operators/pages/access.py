"""Admin pages of users, roles, failed logins and the audit log."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from operators.pages.base import FactsAdmin, ModelAdmin, column, moment
from operators.pages.lists import list_filters
from workers.foundation.formatting import MOST

admin.site.unregister([User, Group])  # replaced by pages in the same style as all others


def _held(of: Any) -> set[int]:
    """Return the ids of a user's or role's permissions, also for inactive users, who may be activated again."""
    held = Q(group=of) if isinstance(of, Group) else Q(user=of) | Q(group__user=of)
    return set(Permission.objects.filter(held).order_by().values_list("pk", flat=True))


def _covers(request: HttpRequest, obj: Any) -> bool:
    """Return True if the current user has all permissions of this user or role."""
    if obj is None or request.user.is_superuser:
        return True
    return not getattr(obj, "is_superuser", False) and _held(obj) <= _held(request.user)


class _NoMore(ModelAdmin):
    """Prevents privilege escalation: nobody can grant, or take over, permissions they lack."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _covers(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _covers(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and not request.user.is_superuser:
            lacking = Permission.objects.exclude(pk__in=_held(request.user))
            lookup = "permissions__in" if db_field.related_model is Group else "pk__in"
            field.queryset = field.queryset.exclude(**{lookup: lacking})
        return field


@admin.register(User)
class StaffAdmin(_NoMore, UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", moment("last_login", "last login"))
    list_filter = ("is_active", "is_superuser", "groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if request.user.is_superuser else ("is_superuser",)


@admin.register(Group)
class RoleAdmin(_NoMore, GroupAdmin, ModelAdmin):  # type: ignore[misc]  # the name of the request parameter
    """Roles: named sets of permissions."""


@admin.register(AccessAttempt)
class FailedLoginAdmin(FactsAdmin):
    """Failed logins. Deleting one unlocks its user name and address."""

    list_display = ("username", "ip_address", "failures_since_start", moment("attempt_time", "latest"), "path_info")
    search_fields = ("username",)
    search_help_text = "The complete user name"
    fields = (*list_display, "user_agent")

    def find_ids(self, term: str) -> Q:
        return Q(username=term)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")


def _what(entry: LogEntry) -> str:
    return entry.get_change_message() or entry.get_action_flag_display()


def _on(entry: LogEntry) -> str:
    of = f"{entry.content_type.name if entry.content_type else ''} {entry.object_repr}"
    url = entry.get_admin_url()
    return format_html('<a href="{}">{}</a>', url, of) if url else of


@admin.register(LogEntry)
class AuditAdmin(FactsAdmin):
    """Audit log. Django's pages and `operators.actions` write its entries."""

    ordering = ("-id",)
    list_display = (moment("action_time", "at"), "user", column("on", _on), column("change and reason", _what))
    list_filter = list_filters(LogEntry)
    joined = ("user", "content_type")
    search_fields = ("object_id",)
    search_help_text = f"A complete object id, or any part of the text in the newest {MOST:,} entries"
    fields = list_display

    def find_ids(self, term: str) -> Q:
        newest = LogEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        said = Q(object_repr__icontains=term) | Q(change_message__icontains=term)
        return Q(object_id=term) | Q(pk__gt=newest - MOST) & said
