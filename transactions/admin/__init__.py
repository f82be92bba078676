"""Admin pages of the domain and of its jobs."""

from transactions.admin import bulk, clients, jobs, providers, transactions

__all__ = ["bulk", "clients", "jobs", "providers", "transactions"]
