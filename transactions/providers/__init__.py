"""Adapters by the name that a provider's row gives."""

from transactions.providers.base import Adapter
from transactions.providers.http import HttpAdapter

ADAPTERS: dict[str, Adapter] = {"http": HttpAdapter()}
