"""`manage.py rotatesecrets`: encrypt all stored secrets with the first of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workers.foundation.reencryption import reencrypt_all


class Command(BaseCommand):
    help = (
        "Encrypt all stored secrets with the first of ENCRYPTION_KEYS, after you have added a new key there (see "
        "docs/configuration.md). Safe to run while the service is running, and to repeat. Exits with status 1 if no "
        "key decrypts one of the values."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = 0
        for found in reencrypt_all():
            done = f"{found.rewritten} re-encrypted, {found.current} already encrypted with the first key"
            self.stdout.write(f"{found.name}: {done}")
            for key in found.unreadable:
                self.stderr.write(f"{found.name}: no key decrypts the value of row {key}")
            unreadable += len(found.unreadable)
        if unreadable:
            raise CommandError(
                f"{unreadable} values were not decrypted. Add the key that encrypted them to ENCRYPTION_KEYS, or "
                "replace the values."
            )
