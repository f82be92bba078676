"""Environment variables as people and tools write them, up to the boot."""

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.txnproject.test_checks import program
from txnproject.environment import Environment, bare, database

KEY, OTHER_KEY = (Fernet.generate_key().decode() for _ in range(2))
SECRET = "x" * 50
PRINTED = """
import django, json
from django.conf import settings
django.setup()
print(json.dumps({name: getattr(settings, name) for name in NAMES}))
"""


@pytest.mark.parametrize("text", ["abc", " abc ", "abc\r", "\tabc\r\n", '"abc"', "'abc'", ' "abc"\r', '" abc "'])
def test_spaces_and_quotes_around_a_value_are_no_part_of_it(text):
    assert bare(text) == "abc"


@pytest.mark.parametrize("text", ['"', "''x", '"a", "b"', "\"a'", '"a', "a'b", "$a", "$$a", "\\$a", "${A}", "a#b"])
def test_everything_else_is_part_of_the_value(text):
    assert Environment({"A": text}).text("A") == text


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1bb", "a\udcffb"])
def test_a_value_that_cannot_be_text_is_a_fault(text):
    environment = Environment({"SECRET_KEY": text})

    assert environment.text("SECRET_KEY", "default") == "default"
    [(message, hint)] = environment.faults
    assert message.startswith("SECRET_KEY contains control characters") and hint


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" , ,", []),
        (" a , b,", ["a", "b"]),
        ('"a","b"', ["a", "b"]),
        ('"a, b"', ["a", "b"]),
        ("a b", ["a b"]),
    ],
)
def test_a_list_has_entries_without_spaces_and_quotes(text, entries):
    assert Environment({"A": text}).entries("A") == entries


@pytest.mark.parametrize("text", ["many", "1,5", "inf", "nan", "1 s", "0x10"])
@pytest.mark.parametrize("default", [5, 5.0])
def test_a_text_that_is_no_number_is_a_fault(text, default):
    environment = Environment({"A": text})

    assert environment.number("A", default) == default
    [(message, _)] = environment.faults
    assert message.startswith(f"A is {text!r}, not a ")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgresql://u:w%2Frd%40@db.example:5432/relay", ("relay", "u", "w/rd@", "db.example", "5432")),
        ("postgres://u:$w#rd@db.example/a+b", ("a+b", "u", "$w#rd", "db.example", "")),
        ("postgresql://user@/name?host=/folder", ("name", "user", "", "/folder", "")),
        ("postgresql://%2Frun%2Fpg/relay", ("relay", "", "", "/run/pg", "")),
        ("postgresql://[::1]:5432/relay", ("relay", "", "", "::1", "5432")),
        ("postgresql://a:1,b:2/relay", ("relay", "", "", "a,b", "1,2")),
    ],
)
def test_it_reads_the_parts_of_a_database(url, parts):
    found = database(url)

    assert tuple(found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")) == parts
    assert found["OPTIONS"] == {}


def test_further_parameters_of_a_database_are_libpqs():
    found = database("postgresql://db.example/relay?sslmode=verify-full&options=-c%20search_path%3Dx")

    assert found["OPTIONS"] == {"sslmode": "verify-full", "options": "-c search_path=x"}


@pytest.mark.parametrize(
    "url",
    [
        "", "relay", "mysql://db/relay", "psql://db/relay", '"postgresql://db/relay', 'postgresql://db/relay"',
        "postgresql://", "postgresql://db", "postgresql://db/", "postgresql://db:port/relay", "postgresql://db:0/relay",
        "postgresql://db:٣/relay", "postgresql://db:65536/relay", "postgresql://a:1,b:x/relay",
        f"postgresql://db:{'9' * 5000}/relay",
        "postgresql://[::1/relay", "postgresql://u:hunter2/3@db/relay", "postgresql://u:1/2@db/relay",
        "postgresql://d b/relay", "postgresql://u:hunter2%zz@db/relay", "postgresql://db/relay?pgbouncer=true", "postgresql://u:\udcff@db/relay",
    ],
)  # fmt: skip
def test_it_refuses_what_libpq_would_fail_at_or_misread(url):
    with pytest.raises(ValueError) as failure:
        database(url)

    assert "hunter2" not in str(failure.value)


# --- the boot


def booted(**environment: str) -> dict[str, Any]:
    """Start Django with these variables; return the settings of the same names."""
    run = program("-c", PRINTED.replace("NAMES", repr(list(environment))), **environment)
    assert run.returncode == 0, run.stderr[-500:]
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.slow
def test_the_service_starts_with_values_as_tools_write_them():
    written = {
        "SECRET_KEY": f" ${SECRET}\r",
        "ENCRYPTION_KEYS": f"{KEY}, {OTHER_KEY},\r",
        "ALLOWED_HOSTS": " Relay.Example., ,.Example.com,[::1]",
        "CSRF_TRUSTED_ORIGINS": "https://Relay.Example/, https://*.Example.com:443",
        "CORS_ALLOWED_ORIGINS": '"https://Shop.example:443","http://shop.example:3000"',
        "OUTBOUND_ALLOWED_HOSTS": "Shop.Example., 10.0.0.1,",
        "TRUSTED_PROXIES": " 10.0.0.0/8 ,, ::1, ",
        "BROKER_URL": '"redis://broker.example:6379/0"\r',
        "PUBLIC_URL": "'https://relay.example/'",
        "TLS": " on\r",
        "MAX_CRASHES": '"7"',
    }

    assert booted(**written) == {
        "SECRET_KEY": f"${SECRET}",
        "ENCRYPTION_KEYS": [KEY, OTHER_KEY],
        "ALLOWED_HOSTS": ["relay.example", ".example.com", "[::1]"],
        "CSRF_TRUSTED_ORIGINS": ["https://relay.example", "https://*.example.com"],
        "CORS_ALLOWED_ORIGINS": ["https://shop.example", "http://shop.example:3000"],
        "OUTBOUND_ALLOWED_HOSTS": ["shop.example", "10.0.0.1"],
        "TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "BROKER_URL": "redis://broker.example:6379/0",
        "PUBLIC_URL": "https://relay.example",
        "TLS": "on",
        "MAX_CRASHES": 7,
    }
    assert "no issues" in program("manage.py", "check", **written).stdout


@pytest.mark.slow
def test_each_invalid_value_stops_the_boot_with_its_name_and_form():
    written = {
        "SECRET_KEY": "$HOME",
        "ENCRYPTION_KEYS": f'"{KEY}',
        "ALLOWED_HOSTS": "relay.example:8000",
        "CSRF_TRUSTED_ORIGINS": "relay.example",
        "CORS_ALLOWED_ORIGINS": "https://*.example",
        "OUTBOUND_ALLOWED_HOSTS": "http://shop.example",
        "TRUSTED_PROXIES": "10.0.0.1:80",
        "DATABASE_URL": "postgresql://u:hunter2/3@db.example/relay",
        "BROKER_URL": "redis://:hunter2#3@broker.example/0",
        "PUBLIC_URL": "https://relay.example:port",
        "SANDBOX_URL": "http://[::1",
        "CREATE_LEASE": "sixty",
        "KEEP_ALIVE": "0",
        "LOG_LEVEL": "'INFO",
    }
    for words in (("manage.py", "check"), ("-c", "import txnproject.asgi")):
        run = program(*words, **written)

        assert run.returncode != 0
        assert [name for name in written if f"{name} " not in run.stderr and f"{name}: " not in run.stderr] == []
        assert "hunter2" not in run.stderr
        assert run.stderr.count("HINT") == len(written)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("BROKER_URL", "redis://broker.example:port/0", "txnproject.E005"),
        ("BROKER_URL", "amqp://broker.example:port", "txnproject.E005"),
        ("BROKER_URL", "amqp://broker.example?ssl_options={", "txnproject.E005"),
        ("DATABASE_URL", "postgresql://db.example:port/relay", "txnproject.E004"),
        ("ENCRYPTION_KEYS", ",", "txnproject.E002"),
        ("MAX_CRASHES", "2.5", "txnproject.E013"),
        ("TRUSTED_PROXIES", "10.0.0.1, proxy.example", "providers.E004"),
    ],
)
def test_an_invalid_value_is_a_check_and_not_a_traceback(name, value, id_):
    run = program("manage.py", "check", **{name: value})

    assert run.returncode == 1
    assert f"({id_})" in run.stderr and name in run.stderr
    assert "Traceback" not in run.stderr
