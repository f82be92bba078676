"""Bodies from templates: a JSON value in which `{name}` is filled in."""

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the template with every `{name}` replaced.

    A string that is a single placeholder becomes the value, with its type. Within a longer string the value is written
    out, None as the empty text.
    """
    if isinstance(template, str):
        if alone := _PLACEHOLDER.fullmatch(template):
            return values[alone[1]]
        return _PLACEHOLDER.sub(lambda found: "" if (value := values[found[1]]) is None else str(value), template)
    if isinstance(template, dict):
        return {name: fill(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    return template


def placeholders(template: Any) -> set[str]:
    """Return the names of all placeholders in `template`."""
    if isinstance(template, str):
        return set(_PLACEHOLDER.findall(template))
    if isinstance(template, dict):
        return {name for value in template.values() for name in placeholders(value)}
    if isinstance(template, list):
        return {name for value in template for name in placeholders(value)}
    return set()
