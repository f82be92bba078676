"""Description of webhooks and notifications in the OpenAPI document."""

from pathlib import Path
from typing import Any

from transactions.api.schema import merge


def describe_webhooks(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: add `openapi.yaml`, because the providers' URLs are plain Django views."""
    merge(result, Path(__file__).with_name("openapi.yaml"))
    return result
