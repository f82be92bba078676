import pytest
from django.core.management.base import CommandError
from django.test import Client as Web
from standardwebhooks.webhooks import Webhook as Signer

from clients.models import ApiKey, CallbackSecret, Client
from tests.management import made, said
from tests.transactions.api.callers import content

pytestmark = pytest.mark.django_db

CALLBACK = ("--callback-url", "https://client.example/callback")


def refused(*words: str) -> str:
    """Return the error of the command, which stores nothing."""
    with pytest.raises(CommandError) as error:
        said("createclient", *words)
    assert not Client.objects.exists() and not ApiKey.objects.exists() and not CallbackSecret.objects.exists()
    return str(error.value)


def test_it_prints_name_key_and_secret_as_one_json_object():
    printed = made("createclient", "alice", *CALLBACK)

    assert set(printed) == {"client", "api_key", "callback_secret"}
    assert printed["client"] == "alice"


def test_it_stores_the_client(third):
    made("createclient", "alice", *CALLBACK, "--provider", "third")

    client = Client.objects.get()
    assert (client.name, client.default_provider, client.enabled) == ("alice", third.provider, True)
    assert (client.callback_url, client.callback_method, client.callback_body) == (CALLBACK[1], "POST", None)


def test_its_key_authenticates_at_the_api(third):
    key = made("createclient", "alice", *CALLBACK, "--provider", "third")["api_key"]

    answer = Web().post(
        "/v1/transactions", content(), content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    )  # fmt: skip
    assert answer.status_code == 202


def test_its_secret_has_the_format_of_standard_webhooks():
    secret = made("createclient", "alice", *CALLBACK)["callback_secret"]

    assert secret.startswith("whsec_")
    assert len(Signer(secret)._whsecret) == 32
    assert CallbackSecret.objects.get().secret == secret


def test_every_client_gets_a_key_and_a_secret_of_its_own():
    first, second = (made("createclient", name, *CALLBACK) for name in ("alice", "bob"))

    assert first["api_key"] != second["api_key"]
    assert first["callback_secret"] != second["callback_secret"]


def test_it_also_prints_both_as_text():
    printed = said("createclient", "alice", *CALLBACK)

    assert "txk_" in printed and CallbackSecret.objects.get().secret in printed
    assert "cannot be shown again" in printed


def test_it_takes_settings():
    body = '{"ref": "{id}", "state": "{status}"}'

    made("createclient", "a", *CALLBACK, "--set", "callback_method=PUT", "--set", f"callback_body={body}")

    client = Client.objects.get()
    assert (client.callback_method, client.callback_body) == ("PUT", {"ref": "{id}", "state": "{status}"})


def test_it_takes_a_rate_limit():
    made("createclient", "alice", *CALLBACK, "--set", "rate_limit=100/second")

    assert Client.objects.get().rate_limit == "100/second"


@pytest.mark.parametrize(
    ("text", "enabled"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False)]
)
def test_it_accepts_booleans_as_written_in_json_and_python(text, enabled):
    made("createclient", "alice", *CALLBACK, "--set", f"enabled={text}")

    assert Client.objects.get().enabled == enabled


def test_it_refuses_an_unknown_provider():
    assert "nobody" in refused("alice", *CALLBACK, "--provider", "nobody")


def test_it_requires_a_callback_url():
    assert "--callback-url" in refused("alice")


def test_it_refuses_a_name_that_is_taken():
    made("createclient", "alice", *CALLBACK)

    with pytest.raises(CommandError, match="name"):
        said("createclient", "alice", *CALLBACK)
    assert (Client.objects.count(), ApiKey.objects.count(), CallbackSecret.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_it_refuses_an_invalid_name(name):
    assert "name" in refused(name, *CALLBACK)


@pytest.mark.parametrize(
    "url",
    ["", "client.example", "ftp://client.example/", "https://", "https:///path", "https://user:word@client.example/",
     "https://client.example/a b", "https://client.example:port/", "https://clïent.example/", "javascript:alert(1)"],
)  # fmt: skip
def test_it_refuses_an_invalid_url(url):
    assert "callback_url" in refused("alice", "--callback-url", url)


@pytest.mark.parametrize("url", ["http://client.example/", "http://10.0.0.1/", "http://localhost/"])
def test_it_refuses_plain_http_to_hosts_that_are_not_allowed(url):
    assert "OUTBOUND_ALLOWED_HOSTS" in refused("alice", "--callback-url", url)


def test_it_takes_plain_http_to_hosts_that_are_allowed():
    made("createclient", "alice", "--callback-url", "http://127.0.0.1:9/callback")

    assert Client.objects.get().callback_url == "http://127.0.0.1:9/callback"


@pytest.mark.parametrize(
    "setting",
    ["callback_method=GET", "callback_method=", "callback_body={", "callback_body=[]", 'callback_body={"a": "{amout}"}',
     "enabled=maybe", "rate_limit=fast", "name=mallory", "id=1", "callback_url=https://x.example",
     "nothing=1", "enabled", "=", "="],
)  # fmt: skip
def test_it_refuses_an_invalid_setting(setting):
    assert setting.partition("=")[0] in refused("alice", *CALLBACK, "--set", setting)
