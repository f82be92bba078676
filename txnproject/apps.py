from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "txnproject"

    def ready(self) -> None:
        from txnproject import checks, jobs  # noqa: F401  registers the checks, declares the actors
