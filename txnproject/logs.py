"""Logging to stderr: one JSON line per event with a sentence, an action and one nested context (ids, never bodies).

Secrets are masked in all lines, also in those of libraries and in tracebacks.
"""

import logging.config
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict

from workers.foundation.redaction import mask_all, route_of


def mask(value: Any) -> Any:
    """Mask the secrets in all texts of a value."""
    if isinstance(value, Mapping):
        return {name: mask(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else mask_all(str(value))


def _mask_event(_logger: object, _name: str, event: EventDict) -> EventDict:
    return {name: mask(value) for name, value in event.items()}


def _without_path(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Replace what the sender of a request wrote in the messages of Django, which end with the path, by the route."""
    record, arguments = event["_record"], event.pop("positional_args")
    if not hasattr(request := getattr(record, "request", None), "resolver_match"):
        return event
    if not arguments:  # a SuspiciousOperation, whose text and traceback may quote the request
        event.pop("exc_info", None)
        return {**event, "event": f"A suspicious request was refused: {route_of(request)}"}
    reasons = [str(one).partition(" - ")[0] for one in arguments[:-1]]  # then Django's CSRF check quotes headers
    return {**event, "event": record.msg % (*reasons, route_of(request))}


_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def logging_config(level: str) -> dict[str, Any]:
    """Return Django's LOGGING for the loggers of structlog and of the standard library; INFO if `level` is unknown."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _mask_event,
                    structlog.processors.JSONRenderer(),
                ],
                "pass_foreign_args": True,
                "foreign_pre_chain": [_without_path, *_SHARED],
            },
        },
        "handlers": {"stderr": {"class": "txnproject.log_limit.LimitedHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level if level in logging.getLevelNamesMapping() else "INFO"},
        "loggers": {
            # The answer tells the caller about a 404; the log need not repeat it.
            "django.request": {"level": "ERROR"},
            # Requests for other hosts are answered 400. Scanners send many, and each would log a traceback.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
        },
    }
