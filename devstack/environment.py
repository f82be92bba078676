"""The environment variables of one stack, and the file that keeps what must stay the same between its runs."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from devstack.processes import StackError


def new_secrets() -> dict[str, str]:
    """Fresh values for what must be secret, and one for what must be unlike others."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "operator_password": secrets.token_urlsafe(12),
        "mark": secrets.token_hex(3),
    }


class Kept:
    """Values kept in a file that only we can read: `kept["api_key"]`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._values: dict[str, str] = json.loads(path.read_text())
        except FileNotFoundError:
            self._values = {}
            self.update(new_secrets())
        except ValueError as error:
            raise StackError(f"{path} is damaged: remove {path.parent} to start over") from error

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def update(self, values: Mapping[str, str]) -> None:
        """Add or replace values, in one step as others see it."""
        self._values.update(values)
        making = self._path.with_suffix(".new")
        making.unlink(missing_ok=True)
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self._values, file, indent=1)
        making.replace(self._path)


def service_environment(
    kept: Mapping[str, str] | Kept, *, database_url: str, broker_url: str, public_url: str
) -> dict[str, str]:
    """Every variable the service reads, for use on this machine alone; what else is set here is passed on."""
    return {
        **os.environ,
        "SECRET_KEY": kept["SECRET_KEY"],
        "ENCRYPTION_KEYS": kept["ENCRYPTION_KEYS"],
        "DATABASE_URL": database_url,
        "BROKER_URL": broker_url,
        "PUBLIC_URL": public_url,
        "SANDBOX_URL": "",
        "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "CSRF_TRUSTED_ORIGINS": "",
        "CORS_ALLOWED_ORIGINS": "",
        "TLS": "off",
        "OUTBOUND_ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXIES": "",
        "DJANGO_SETTINGS_MODULE": "txnproject.settings",
        "PYTHONUNBUFFERED": "1",  # a log is read while it is written
    }
