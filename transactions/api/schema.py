"""OpenAPI 3.1 description of the API: generated from the views, completed with static parts and problem responses."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml
from drf_spectacular import renderers
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transactions.api.problems import PROBLEMS, problem_body, problem_type

PROBLEMS_OF_ALL = ("invalid", "internal-error", "unavailable")
PROBLEMS_WITH_KEY = ("not-authenticated", "key-disabled", "not-acceptable", "too-many-requests")
PROBLEMS_WITH_BODY = ("body-late", "body-too-large")
PROBLEMS_WITH_PATH_PARAMETER = ("not-found",)
_RETRY_AFTER = ("Retry-After", {"type": "integer", "minimum": 1}, "Seconds to wait before a retry.")
PROBLEM_HEADERS = {
    401: ("WWW-Authenticate", {"type": "string"}, "The authentication scheme."),
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
"""By status: the name, schema and description of the header that every response with this status has."""

describe = partial(extend_schema, request=None, tags=["Transactions"])
"""Decorator for a view's method: describes its operation; the method's docstring becomes a part of the description.

The extension `x-problems` lists only the operation's own problems: `add_problems` adds those that it shares with
others.
"""


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass registers it
    target_class = "clients.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key of a client."}


def merge(result: dict[str, Any], file: Path) -> None:
    """Add the paths, webhooks and schemas in a YAML file to a description."""
    static = yaml.safe_load(file.read_bytes())
    for part in ("paths", "webhooks"):
        result.setdefault(part, {}).update(static.get(part, {}))
    result["components"]["schemas"].update(static["components"]["schemas"])


def close_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: declare that unknown fields are refused, and that a header can replace the id."""
    body = result["components"]["schemas"]["NewTransaction"]
    body["additionalProperties"] = False
    body["required"].remove("id")
    body["properties"]["id"]["type"] = ["string", "null"]
    return result


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: add the problem responses of every operation, and their schema."""
    merge(result, Path(__file__).with_name("openapi.yaml"))
    result["components"]["schemas"]["ProblemType"]["enum"] = [problem_type(slug) for slug in PROBLEMS]
    for path, operations in result["paths"].items():
        instance = "/v1/transactions" if path.startswith("/v1/") else "/webhooks/acme"
        for operation in operations.values():
            slugs = _problems(path, operation)
            problems = {str(PROBLEMS[slug].status): _problem_response(slug, instance) for slug in slugs}
            operation["responses"] = operation["responses"] | dict(sorted(problems.items()))
    return result


def _problems(path: str, operation: dict[str, Any]) -> list[str]:
    """Return the slugs of an operation's problems."""
    slugs = [*PROBLEMS_OF_ALL, *operation.pop("x-problems", ())]
    if operation.get("security"):
        slugs += PROBLEMS_WITH_KEY
    if "requestBody" in operation:
        slugs += PROBLEMS_WITH_BODY
    if "{" in path:
        slugs += PROBLEMS_WITH_PATH_PARAMETER
    return slugs


def _problem_response(slug: str, instance: str) -> dict[str, Any]:
    problem, body = PROBLEMS[slug], problem_body(slug, instance)
    if slug == "invalid":
        body["errors"] = [{"field": "amount", "code": "range", "detail": "Must be from 1 to 10^15."}]
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {slug: {"value": body}}}
    response: dict[str, Any] = {"description": problem.title, "content": {"application/problem+json": content}}
    if problem.status in PROBLEM_HEADERS:
        name, schema, description = PROBLEM_HEADERS[problem.status]
        response["headers"] = {name: {"required": True, "schema": schema, "description": description}}
    return response


@lru_cache
def description() -> Any:
    """Return the description, which is public and constant; generate it once per process."""
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # it has no hints


class Description(APIView):
    """`/v1/schema`, which needs no key."""

    authentication_classes = []
    permission_classes = []
    renderer_classes = [
        renderers.OpenApiJsonRenderer,
        renderers.OpenApiJsonRenderer2,
        renderers.OpenApiYamlRenderer,
        renderers.OpenApiYamlRenderer2,
    ]

    @describe(
        operation_id="read_description",
        summary="Read this description",
        responses={200: OpenApiResponse(OpenApiTypes.OBJECT, "An OpenAPI 3.1 document.")},
        extensions={"x-problems": ["not-acceptable"]},
        tags=["Description"],
    )
    def get(self, request: Request) -> Response:
        """Read it as JSON, or as YAML if the `Accept` header asks for it."""
        return Response(description())
