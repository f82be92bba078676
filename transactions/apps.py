from django.apps import AppConfig


class TransactionsConfig(AppConfig):
    name = "transactions"

    def ready(self) -> None:
        from transactions.api import schema  # noqa: F401  registers the API's authentication scheme
