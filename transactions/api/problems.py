"""Errors as problem+json (RFC 9457): each names the error and its remedy."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.encoding import escape_uri_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from rest_framework import exceptions

from workers.foundation.database import drop_lost, is_away
from workers.foundation.redaction import route_of

log = structlog.get_logger(__name__)

RETRY_AFTER = "5"
"""Seconds after which a client should retry while the database is unavailable."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem: its HTTP status, its title, and the advice on its remedy."""

    status: int
    title: str
    advice: str


PROBLEMS = {
    "invalid": Problem(400, "Invalid request", "Fix the fields listed in `errors` and retry."),
    "not-authenticated": Problem(
        401, "Missing or unknown API key", "Send the header `Authorization: Bearer <api key>` with a valid key."
    ),
    "webhook-not-authentic": Problem(
        401, "Webhook not authenticated", "Sign the webhook with a current secret and the current time."
    ),
    "key-disabled": Problem(403, "API key disabled", "Use another key, or ask the operators for a new one."),
    "not-found": Problem(404, "Not found", "Check the URL. A client can access only its own transactions."),
    "method-not-allowed": Problem(405, "Method not allowed", "Use a method listed in the `Allow` header."),
    "not-acceptable": Problem(406, "Not acceptable", "Send `Accept: application/json`."),
    "body-late": Problem(
        408, "Request body timeout", "Send the whole body within 10 seconds of the headers. It is safe to retry."
    ),
    "endpoint-disabled-by-staff": Problem(
        409, "Endpoint disabled by staff", "Ask the operators to enable the endpoint."
    ),
    "body-too-large": Problem(413, "Request body too large", "Send at most 64 KiB."),
    "unsupported-media-type": Problem(415, "Unsupported media type", "Send `Content-Type: application/json`."),
    "idempotency-mismatch": Problem(
        422, "Id already used with different content", "Nothing was changed. Use a new id for a new transaction."
    ),
    "too-many-requests": Problem(429, "Too many requests", "Retry after the seconds in `Retry-After`."),
    "internal-error": Problem(500, "Internal error", "The error has been logged. It is safe to retry."),
    "unavailable": Problem(503, "Temporarily unavailable", "It is safe to retry after the seconds in `Retry-After`."),
}
_AWAY = b"The database is unavailable or read-only. Try again in a few seconds.\n"
_BY_EXCEPTION = {
    UnreadablePostError: "body-late",
    RequestDataTooBig: "body-too-large",
    SuspiciousOperation: "invalid",  # the base class of RequestDataTooBig
    Http404: "not-found",
}
_BY_STATUS = {problem.status: slug for slug, problem in reversed(PROBLEMS.items())}


def problem_type(slug: str) -> str:
    """Return the URL that identifies a kind of problem; `problem_page` serves it."""
    return f"{settings.PUBLIC_URL}/problems/{slug}"


def problem(
    request: HttpRequest,
    slug: str,
    detail: str = "",
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Return the response for one of `PROBLEMS`."""
    body = problem_body(slug, request.path, detail) | ({"errors": errors} if errors else {})
    return JsonResponse(body, status=body["status"], content_type="application/problem+json", headers=headers)


def problem_body(slug: str, path: str, detail: str = "") -> dict[str, Any]:
    """Return one of `PROBLEMS` as JSON, for a request to `path`."""
    found = PROBLEMS[slug]
    return {
        "type": problem_type(slug),
        "title": found.title,
        "status": found.status,
        "detail": detail or found.advice,
        "instance": escape_uri_path(path),
    }


@csrf_exempt
@require_safe
def problem_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Serve the page about a kind of problem, at the URL in its `type`."""
    found = PROBLEMS.get(slug)
    if found is None:
        raise Http404
    return HttpResponse(f"{found.title} ({found.status})\n\n{found.advice}\n", "text/plain; charset=utf-8")


def problem_response(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Exception handler for DRF: map an exception to a problem response."""
    return for_exception(error, context["request"]._request)


def for_exception(error: Exception, request: HttpRequest) -> HttpResponse:
    """Map an exception to a problem response; log server errors."""
    if is_away(error):
        _note_away(error)
        return problem(request, "unavailable", headers={"Retry-After": RETRY_AFTER})
    slug = _slug(error)
    match error:
        case exceptions.ValidationError():
            return problem(request, slug, errors=list(_field_errors(error.detail)))
        case exceptions.ParseError():
            return problem(request, slug, str(error.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return problem(request, slug, headers={"WWW-Authenticate": 'Bearer realm="api"'})
        case exceptions.Throttled():
            return problem(request, slug, headers={"Retry-After": str(max(1, ceil(getattr(error, "wait", None) or 0)))})
    if slug == "internal-error":
        log.error("A request failed", action="request_failed", route=route_of(request), exc_info=error)
    return problem(request, slug)


def _note_away(error: Exception) -> None:
    """Log that the database is away; drop its connection, because the next request may get a working one."""
    log.error("The database is unavailable", action="database_away", error=str(error).split("\n")[0])
    drop_lost(error)


def _slug(error: Exception) -> str:
    """Return the slug of an exception's problem. Exceptions of this service name it in their attribute `problem`."""
    own = getattr(error, "problem", None)
    if own in PROBLEMS:
        return str(own)
    if isinstance(error, exceptions.APIException):
        return _BY_STATUS.get(error.status_code, "internal-error")
    return next((slug for kind, slug in _BY_EXCEPTION.items() if isinstance(error, kind)), "internal-error")


def _field_errors(detail: Any, path: str = "") -> Any:
    """Flatten DRF's nested errors to `{"field", "code", "detail"}`; the field of a nested value is a dotted path."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            place = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from _field_errors(inner, place)
    elif isinstance(detail, list):
        for inner in detail:
            yield from _field_errors(inner, path)
    else:
        yield {"field": path, "code": getattr(detail, "code", None) or "invalid", "detail": str(detail)}


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(("/v1/", "/webhooks/")) or request.path in ("/v1", "/webhooks")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400, such as for a host that is not in ALLOWED_HOSTS."""
    if _is_api(request):
        return problem(request, "invalid", "The request is malformed, or its host is unknown.")
    return HttpResponse(b"Bad request\n", "text/plain", 400)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return problem(request, "not-found") if _is_api(request) else HttpResponse(b"Not found\n", "text/plain", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, for exceptions outside of DRF."""
    error = cast(Exception, sys.exc_info()[1])  # Django calls it in its `except`
    if _is_api(request):
        return for_exception(error, request)
    if is_away(error):
        _note_away(error)
        return HttpResponse(_AWAY, "text/plain", 503, headers={"Retry-After": RETRY_AFTER})
    return HttpResponse(b"Internal error\n", "text/plain", 500)
