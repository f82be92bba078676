"""The pages of the admin site. Django imports this module once all apps are loaded."""

from operators.pages import access, bulk, calls, clients, jobs, providers, transactions, webhooks

__all__ = ["access", "bulk", "calls", "clients", "jobs", "providers", "transactions", "webhooks"]
