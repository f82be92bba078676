"""CORS: only pages of configured origins may read answers."""

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client as Web

from tests.transactions.api.callers import content

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

OURS = "https://shop.example"
EVERYWHERE = [
    "/v1/transactions", "/v1/schema", "/webhooks/third", "/admin/login/", "/static/admin/css/base.css", "/healthz",
    "/metrics", "/nothing",
]  # fmt: skip


def preflight(path: str, origin: str, method: str = "POST", **headers: str) -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, **headers}
    return Web().options(path, headers=asked | {"Access-Control-Request-Headers": "authorization,idempotency-key"})


def allowed(answer: Any) -> dict[str, str]:
    answer.close()  # a file is open until then
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control")}


@pytest.mark.parametrize(
    "origin", [OURS, "null", "http://testserver", "https://testserver", "https://testserver.evil.example"]
)
@pytest.mark.parametrize("path", EVERYWHERE)
def test_no_origin_is_allowed_anywhere(path, origin):
    assert allowed(Web().get(path, headers={"Origin": origin, "Cookie": "sessionid=x"})) == {}
    assert allowed(preflight(path, origin)) == {}


@pytest.mark.parametrize("path", EVERYWHERE[2:])
def test_a_named_origin_is_allowed_only_the_api(settings, path):
    settings.CORS_ALLOWED_ORIGINS = [OURS]

    assert allowed(preflight(path, OURS)) == {}


@pytest.mark.parametrize(
    "origin", ["https://shop.example.evil.example", "http://shop.example", "https://SHOP.example:444", "null", "*"]
)
def test_an_origin_that_is_like_the_named_one_is_not_allowed(settings, origin):
    settings.CORS_ALLOWED_ORIGINS = [OURS]

    assert allowed(preflight("/v1/transactions", origin)) == {}


def test_a_named_origin_may_send_what_the_api_wants_but_no_cookies(settings):
    settings.CORS_ALLOWED_ORIGINS = [OURS]

    answer = preflight("/v1/transactions", OURS)

    named = set(answer["Access-Control-Allow-Headers"].split(", "))
    assert answer["Access-Control-Allow-Origin"] == OURS
    assert named >= {"authorization", "content-type", "idempotency-key"}
    assert "Access-Control-Allow-Credentials" not in answer


def test_a_named_origin_may_read_the_answer_and_its_headers(settings, alice):
    settings.CORS_ALLOWED_ORIGINS = [OURS]

    answer = Web().post(
        "/v1/transactions", content(), content_type="application/json", headers=alice.bearer | {"Origin": OURS}
    )

    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (202, OURS)
    assert answer["Access-Control-Expose-Headers"] == "Location, Idempotent-Replayed, Retry-After"
    assert "origin" in answer["Vary"]


@pytest.mark.parametrize("origin", ["*", "https://*.example", "shop.example", "https://shop.example/path"])
def test_an_invalid_origin_stops_the_boot(settings, origin):
    settings.CORS_ALLOWED_ORIGINS = [origin]

    found = [error for error in run_checks() if str(error.id).startswith("corsheaders.E")]
    assert found or origin == "https://*.example", "harmless: no browser has this origin"
