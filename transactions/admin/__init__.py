"""The admin pages of the domain, and of the jobs that it gives to the workers."""

from django.contrib import admin

from transactions.admin import clients, jobs, providers, transactions

__all__ = ["clients", "jobs", "providers", "transactions"]

admin.site.site_header = "Transaction relay"
admin.site.site_title = "Transaction relay"
admin.site.index_title = "Operations"
admin.site.site_url = None  # there is no other page to visit
