"""Adapters by the name in a provider's `adapter`."""

from providers.adapters.base import Adapter
from providers.adapters.http import HttpAdapter

ADAPTERS: dict[str, Adapter] = {"http": HttpAdapter()}
