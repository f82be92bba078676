"""The settings that production gets from the documented environment."""

import json
import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from devstack.paths import CHECKOUT
from tests.documents import table

pytestmark = pytest.mark.slow

DOCUMENTED = {
    "DATABASE_URL": "postgresql://user:password@db.example:5432/relay",
    "BROKER_URL": "rediss://broker.example:6379/0",
    "SECRET_KEY": "".join(chr(33 + number) for number in range(80)),
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "ALLOWED_HOSTS": "relay.example",
    "PUBLIC_URL": "https://relay.example",
}
"""The variables that docs/configuration.md calls required."""
COOKIES = """
import django, json
django.setup()
from django.conf import settings
from django.test import Client
found = Client().get("/admin/login/", secure=True, headers={"Host": "relay.example"})
names = ("NAME", "SECURE", "HTTPONLY", "SAMESITE", "PATH", "DOMAIN")
csrf = {name: [cookie.OutputString(), cookie["domain"]] for name, cookie in found.cookies.items()}
print(json.dumps({"csrf": csrf, "session": [getattr(settings, f"SESSION_COOKIE_{name}") for name in names]}))
"""


def in_production(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "txnproject.settings", **DOCUMENTED, **changes}
    command = [sys.executable, *words]
    return subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_environment_tried_here_is_the_documented_one():
    rows = table("configuration.md", "variable")

    assert {row["variable"].strip("`") for row in rows if row["default"] == "required"} == set(DOCUMENTED)


def test_djangos_check_for_production_finds_nothing():
    run = in_production("manage.py", "check", "--deploy", "--fail-level", "WARNING")

    assert (run.returncode, run.stderr) == (0, "")
    assert "no issues (0 silenced)" in run.stdout


@pytest.fixture(scope="module")
def cookies():
    run = in_production("-c", COOKIES)
    assert run.returncode == 0, run.stderr[-1000:]
    return json.loads(run.stdout)


def documented(name: str) -> list[str]:
    [row] = [row for row in table("security.md", "cookie") if row["cookie"] == f"`{name}`"]
    return sorted(row["attributes"].strip("`").split("; "))


def test_the_forms_cookie_is_as_documented(cookies):
    [(name, (text, domain))] = cookies["csrf"].items()
    parts = [part for part in text.split("; ")[1:] if not part.startswith(("expires", "Max-Age"))]

    assert (name, domain) == ("__Host-csrftoken", "")
    assert sorted(parts) == documented(name)


def test_the_sessions_cookie_is_as_documented(cookies):
    name, secure, http_only, same_site, path, domain = cookies["session"]

    assert secure and http_only and domain is None
    assert sorted(["Secure", "HttpOnly", f"SameSite={same_site}", f"Path={path}"]) == documented(name)


@pytest.mark.parametrize(
    ("url", "attributes"),
    [
        ("postgresql://user:password@db.example:5432/relay", "None"),
        ("postgresql://user:password@one.example:5432,two.example:5433/relay", "read-write"),
        ("postgresql://user:password@one.example,two.example/relay", "read-write"),
        ("postgresql://user@/relay?host=/one,/two", "read-write"),
        ("postgresql://user@/relay?host=/one,/two&target_session_attrs=primary", "primary"),
        ("postgresql://user@db.example/relay?target_session_attrs=read-write", "read-write"),
    ],
)
def test_of_several_database_servers_the_one_that_can_be_written_is_used(url, attributes):
    shown = (
        "from txnproject.settings import DATABASES as of; print(of['default']['OPTIONS'].get('target_session_attrs'))"
    )

    assert in_production("-c", shown, DATABASE_URL=url).stdout.strip() == attributes
