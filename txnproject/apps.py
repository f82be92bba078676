from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "txnproject"

    def ready(self) -> None:
        from txnproject import checks  # noqa: F401  registers them
