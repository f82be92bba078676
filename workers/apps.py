from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"

    def ready(self) -> None:
        import dramatiq

        from workers.lifecycle import EngineLifecycle

        dramatiq.get_broker().add_middleware(EngineLifecycle())
