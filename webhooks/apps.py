from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from django.conf import settings

        from webhooks import checks  # noqa: F401  registers them
        from webhooks.outgoing.notify import load, notify, record
        from workers import registry

        registry.register(registry.Kind("notify", "notify", settings.NOTIFY_LEASE, load, notify, record))
