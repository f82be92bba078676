from django.apps import AppConfig
from django.contrib.admin import apps as admin


class ProjectConfig(AppConfig):
    name = "txnproject"
    default = True

    def ready(self) -> None:
        from txnproject import checks  # noqa: F401  registers them


class ConsoleConfig(admin.AdminConfig):
    """django.contrib.admin, with our site."""

    default = False
    default_site = "txnproject.admin_site.Console"
