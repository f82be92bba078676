from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OperatorsConfig(AppConfig):
    name = "operators"
    default = True


class SiteConfig(admin.AdminConfig):
    """django.contrib.admin with the project's own site."""

    default = False
    default_site = "operators.site.Console"
