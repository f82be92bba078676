"""Logging to stderr: one JSON line per event with a sentence, an action and one nested context (ids, never bodies)."""

import logging.config
from typing import Any

import structlog

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
                "processor": structlog.processors.JSONRenderer(),
                "foreign_pre_chain": _SHARED,
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
