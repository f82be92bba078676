from django.apps import AppConfig


class TransactionsConfig(AppConfig):
    name = "transactions"

    def ready(self) -> None:
        from django.conf import settings

        from transactions import checks  # noqa: F401  registers them
        from transactions.config import client_limits, provider_limits
        from transactions.handlers.create import create
        from transactions.handlers.track import track
        from transactions.handlers.work import load, record
        from workers import registry

        registry.register(registry.Kind("create", "create", settings.CREATE_LEASE, load, create, record))
        registry.register(registry.Kind("track", "track", settings.TRACK_LEASE, load, track, record))
        registry.register_limits("p", provider_limits)
        registry.register_limits("c", client_limits)
