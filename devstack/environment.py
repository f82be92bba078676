"""Environment variables of the service in the development stack, and the file that keeps its secrets between runs."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from devstack.processes import StackError


def new_secrets() -> dict[str, str]:
    """Return new random values for the service's secrets, and a suffix for names that must be unique."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "operator_password": secrets.token_urlsafe(12),
        "suffix": secrets.token_hex(3),
    }


class StateFile(dict[str, str]):
    """Values in a JSON file that only its owner can read. A new file begins with new secrets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            super().__init__(json.loads(path.read_text()))
        except FileNotFoundError:
            self.save(new_secrets())
        except ValueError as error:
            raise StackError(f"{path} is damaged. Remove {path.parent} to start over") from error

    def save(self, values: Mapping[str, str]) -> None:
        """Set these values and replace the file atomically."""
        self.update(values)
        new = self._path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self, file, indent=1)
        new.replace(self._path)


def service_environment(
    state: Mapping[str, str], *, database_url: str, broker_url: str, public_url: str
) -> dict[str, str]:
    """Return all variables that the service reads, for use on this machine only, and our own environment."""
    return {
        **os.environ,
        "SECRET_KEY": state["SECRET_KEY"],
        "ENCRYPTION_KEYS": state["ENCRYPTION_KEYS"],
        "DATABASE_URL": database_url,
        "DATABASE_POOLER": "off",
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
        "PYTHONUNBUFFERED": "1",  # logs appear at once
    }
