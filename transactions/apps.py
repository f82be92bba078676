from django.apps import AppConfig


class TransactionsConfig(AppConfig):
    name = "transactions"

    def ready(self) -> None:
        from django.conf import settings

        from transactions import checks  # noqa: F401  registers them
        from transactions.api import schema  # noqa: F401  registers it
        from transactions.config import client_limit, provider_limit
        from transactions.counting import count_events
        from transactions.handlers.create import create
        from transactions.handlers.track import track
        from transactions.handlers.work import after, load, record
        from transactions.news import lock
        from transactions.staff import bulk
        from workers import registry

        # A status check and the create.
        registry.register(
            registry.Kind("create", "create", settings.CREATE_LEASE, load, create, record, after, calls=2)
        )
        registry.register(registry.Kind("track", "track", settings.TRACK_LEASE, load, track, record, after))
        registry.register_lock(lock)
        registry.register_chore("bulk runs", bulk.step)
        registry.register_limit("p", provider_limit)
        registry.register_limit("c", client_limit)
        registry.register_chore("count", count_events)
