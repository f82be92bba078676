from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ProjectConfig(AppConfig):
    name = "txnproject"

    def ready(self) -> None:
        """Register the system checks of all apps and declare the Dramatiq actors."""
        autodiscover_modules("checks", "jobs")
