"""Adapters by the name that a provider's row gives."""

from providers.adapters.base import Adapter
from providers.adapters.http import HttpAdapter

ADAPTERS: dict[str, Adapter] = {"http": HttpAdapter()}
