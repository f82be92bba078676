from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules


class ProjectConfig(AppConfig):
    name = "txnproject"

    def ready(self) -> None:
        """Register the system checks of all apps, declare the Dramatiq actors, and check each new connection."""
        autodiscover_modules("checks", "jobs")
        from workers.foundation.session_settings import check_new_connection

        connection_created.connect(check_new_connection)
