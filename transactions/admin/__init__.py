"""The admin pages of the domain, and of the jobs that it gives to the workers."""

from transactions.admin import bulk, clients, jobs, providers, transactions

__all__ = ["bulk", "clients", "jobs", "providers", "transactions"]
