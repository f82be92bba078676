"""Who may come in: users, roles and failed logins, in the look of all other pages."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Q
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from workers.admin.bases import FactsAdmin, ModelAdmin, moment

admin.site.unregister([User, Group])  # Django's own pages, which look like those of another program


@admin.register(User)
class StaffAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", moment("last_login", "last login"))
    list_filter = ("is_active", "is_superuser", "groups")


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):
    pass


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
