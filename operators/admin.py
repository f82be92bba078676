"""Registration of the admin pages. Django imports this module after all models."""

from operators.pages import access, bulk, clients, jobs, providers, transactions, webhooks

__all__ = ["access", "bulk", "clients", "jobs", "providers", "transactions", "webhooks"]
