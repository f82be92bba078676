"""Every kind of answer has the headers that docs/security.md lists for it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Web

from devstack.paths import CHECKOUT
from tests.cast import Caller
from tests.documents import table
from tests.transactions.api.callers import content
from tests.transactions.api.outages import database_away
from transactions.api import views

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

TEMPLATES = CHECKOUT / "templates"
KINDS = ("data", "pages", "admin", "static")
ALLOWED = "script-src 'self' 'unsafe-eval'"  # in the admin: it makes functions of text, and runs none in a page
BY_THE_SERVER = {"Server"}  # granian's own: tests/e2e/test_hostile_connections.py


def listed(kind: str) -> dict[str, str]:
    """The headers of this kind of answer in the document."""
    found = {}
    for row in table("security.md", "header"):
        by_kind = {one: row[one].strip("`") for one in KINDS}
        said = by_kind[kind]
        found[row["header"].strip("`")] = by_kind[said.removeprefix("as ")] if said.startswith("as ") else said
    return found


def directives(value: str) -> list[str]:
    """The directives of a header in sorted order."""
    return sorted(part.strip() for part in value.split(";"))


@pytest.fixture(autouse=True)
def _tls(settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True


class Asker:
    """Requests of one client over https."""

    def __init__(self, caller: Caller) -> None:
        self.web = Web(raise_request_exception=False)
        self.caller = caller

    def get(self, path: str, **headers: str) -> Any:
        return self.web.get(path, secure=True, headers=self.caller.bearer | headers)

    def post(self, path: str = "/v1/transactions", body: Any = None, **headers: str) -> Any:
        given = self.caller.bearer | headers
        return self.web.post(path, body or content(), content_type="application/json", secure=True, headers=given)

    def delete(self, path: str) -> Any:
        return self.web.delete(path, secure=True, headers=self.caller.bearer)

    def preflight(self) -> Any:
        headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        return self.web.options("/v1/transactions", secure=True, headers=headers)

    def as_operator(self, path: str) -> Any:
        self.web.force_login(User.objects.create_superuser("root"))
        return self.get(path)

    def away(self) -> Any:
        with database_away():
            return self.post()


ANSWERS: list[tuple[str, str, int, Callable[[Asker], Any]]] = [
    ("data", "accepted", 202, lambda ask: ask.post()),
    ("data", "read", 200, lambda ask: ask.get("/v1/transactions")),
    ("data", "the schema", 200, lambda ask: ask.get("/v1/schema")),
    ("data", "invalid", 400, lambda ask: ask.post(body={"id": "a"})),
    ("data", "no key", 401, lambda ask: ask.post(Authorization="")),
    ("data", "unknown id", 404, lambda ask: ask.get("/v1/transactions/nobody")),
    ("data", "unknown address of the API", 404, lambda ask: ask.get("/v1/nothing")),
    ("data", "no such method", 405, lambda ask: ask.delete("/v1/transactions")),
    ("data", "not JSON", 406, lambda ask: ask.get("/v1/transactions", Accept="text/html")),
    ("data", "too large", 413, lambda ask: ask.post(body={"a": "x" * 70_000})),
    ("data", "a bug", 500, lambda ask: ask.get("/v1/transactions/broken")),
    ("data", "no database", 503, lambda ask: ask.away()),
    ("data", "a preflight", 200, lambda ask: ask.preflight()),
    ("data", "webhook refused", 401, lambda ask: ask.post("/webhooks/third")),
    ("data", "webhook of nobody", 404, lambda ask: ask.post("/webhooks/nobody")),
    ("data", "another host, API", 400, lambda ask: ask.get("/v1/transactions", Host="elsewhere.example")),
    ("data", "another host", 400, lambda ask: ask.get("/nothing", Host="elsewhere.example")),
    ("data", "nothing", 404, lambda ask: ask.get("/nothing")),
    ("data", "healthz", 200, lambda ask: ask.get("/healthz", Host="10.0.0.1")),
    ("data", "readyz", 503, lambda ask: ask.get("/readyz")),
    ("data", "metrics", 200, lambda ask: ask.get("/metrics")),
    ("admin", "login", 200, lambda ask: ask.get("/admin/login/")),
    ("admin", "to the login", 302, lambda ask: ask.get("/admin/")),
    ("admin", "the admin", 200, lambda ask: ask.as_operator("/admin/")),
    ("admin", "a list", 200, lambda ask: ask.as_operator("/admin/transactions/transaction/")),
    ("admin", "not in the admin", 404, lambda ask: ask.as_operator("/admin/nothing/")),
    ("admin", "another host's admin", 400, lambda ask: ask.get("/admin/", Host="elsewhere.example")),
    ("admin", "forged form", 403, lambda ask: Web(enforce_csrf_checks=True).post("/admin/login/", secure=True)),
    ("pages", "the docs", 200, lambda ask: ask.get("/docs")),
    ("pages", "the landing page", 200, lambda ask: ask.get("/")),
    ("pages", "another host's landing page", 400, lambda ask: ask.get("/", Host="elsewhere.example")),
    ("pages", "no such method of a page", 405, lambda ask: ask.post("/")),
    ("pages", "to the docs", 302, lambda ask: ask.get("/docs/")),
    ("static", "a file", 200, lambda ask: ask.get("/static/admin/css/base.css")),
]  # fmt: skip


@pytest.fixture
def ask(alice, third, monkeypatch) -> Asker:
    def found(*, client_ref: str, **_: Any) -> None:
        if client_ref == "broken":
            raise RuntimeError("a bug")

    monkeypatch.setattr(views, "find", found)
    return Asker(alice)


def assert_listed(answer: Any, kind: str, but: frozenset[str] = frozenset()) -> None:
    wanted = {name: value for name, value in listed(kind).items() if name not in BY_THE_SERVER | but}
    assert {name: directives(answer.get(name, "")) for name in wanted} == {
        name: directives(value) for name, value in wanted.items()
    }
    unwanted = ("x-powered", "server", "access-control", *(name.lower() for name in but))
    assert not [name for name in answer.headers if name.lower().startswith(unwanted)]


@pytest.mark.parametrize(
    ("kind", "status", "asked"),
    [(kind, status, asked) for kind, _, status, asked in ANSWERS],
    ids=[name for _, name, _, _ in ANSWERS],
)
def test_an_answer_has_the_headers_that_are_listed_for_its_kind(ask, kind, status, asked):
    answer = asked(ask)

    answer.close()  # a file is open until then
    assert answer.status_code == status
    assert_listed(answer, kind)


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/transactions", "data"), ("/nothing", "data"), ("/admin/", "admin"), ("/", "pages")]
)
def test_a_redirect_to_https_has_all_but_those_that_count_there_only(db, path, kind):
    answer = Web().get(path)

    assert (answer.status_code, answer["Location"]) == (301, f"https://testserver{path}")
    assert_listed(answer, kind, but=frozenset({"Strict-Transport-Security"}))


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_a_probe_is_answered_over_plain_http(db, path):
    assert Web().get(path, headers={"Host": "10.0.0.1"}).status_code == 200


def test_no_policy_allows_inline_scripts_or_styles(db):
    policies = {kind: listed(kind)["Content-Security-Policy"] for kind in KINDS}
    policies["admin"] = policies["admin"].replace(ALLOWED, "")

    assert not any("unsafe" in policy or "*" in policy or "http" in policy for policy in policies.values())


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_our_pages_have_no_inline_scripts_or_styles(template):
    assert not re.search(
        r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", template.read_text(), re.IGNORECASE
    )
