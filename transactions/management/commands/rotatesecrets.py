"""`manage.py rotatesecrets`: encrypt every stored secret with the first of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from transactions.reencryption import reencrypt_all


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first of ENCRYPTION_KEYS, after it was added there "
        "(docs/configuration.md says how to rotate it). May run while the service does, and again at any time. "
        "Exits 1 when there are values that no key decrypts."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = 0
        for found in reencrypt_all():
            self.stdout.write(
                f"{found.name}: {found.rewritten} encrypted anew, {found.current} were by the first key already"
            )
            for key in found.unreadable:
                self.stderr.write(f"{found.name}: no key decrypts the value of row {key}")
            unreadable += len(found.unreadable)
        if unreadable:
            raise CommandError(
                f"Not decrypted: {unreadable}. Add the key that encrypted them to ENCRYPTION_KEYS, or replace them."
            )
