"""Re-encryption of all encrypted fields after a new key was put first in ENCRYPTION_KEYS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models.functions import Cast

from workers.foundation.encryption import EncryptedJSON, SecretUnreadable, is_current, reencrypt

BATCH = 100
"""Rows read at a time. Each is written by its own statement, so that locks are held briefly."""


@dataclass(slots=True)
class Found:
    """Result of the re-encryption of one field."""

    name: str
    rewritten: int = 0
    current: int = 0
    unreadable: list[Any] = field(default_factory=list)
    """Primary keys of the rows whose value no key decrypts."""


def reencrypt_all() -> Iterator[Found]:
    """Encrypt every value with the first key, field by field. It may run with the service, and repeatedly."""
    for model in apps.get_models():
        for one in model._meta.local_concrete_fields:
            if isinstance(one, EncryptedJSON):
                yield _field(model, one)


def _field(model: type[models.Model], encrypted: EncryptedJSON) -> Found:
    found = Found(f"{model._meta.label}.{encrypted.name}")
    for key, stored in _values(model, encrypted):
        try:
            if _rewrite(model, encrypted, key, stored):
                found.rewritten += 1
            else:
                found.current += 1
        except SecretUnreadable:
            found.unreadable.append(key)
    return found


def _values(model: type[models.Model], encrypted: EncryptedJSON) -> Iterator[tuple[Any, str]]:
    """Yield primary key and encrypted value of every row, in batches; includes rows that are added meanwhile."""
    rows = _stored(model, encrypted).order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


def _rewrite(model: type[models.Model], encrypted: EncryptedJSON, key: Any, stored: str | None) -> bool:
    """Encrypt one row's value with the first key; return False if it already is, or if the row is gone.

    Compare-and-set: a value that another process has written meanwhile is not overwritten but checked again, because
    that process may know the older key only. Raises SecretUnreadable.
    """
    while stored is not None and not is_current(stored):
        written = models.Value(reencrypt(stored), output_field=models.TextField())
        if _stored(model, encrypted).filter(pk=key, stored=stored).update(**{encrypted.name: written}):
            return True
        stored = dict(_stored(model, encrypted).filter(pk=key)).get(key)
    return False


def _stored(model: type[models.Model], encrypted: EncryptedJSON) -> models.QuerySet[Any, tuple[Any, str]]:
    stored = Cast(encrypted.name, models.TextField())  # the field itself would decrypt the value
    return model._base_manager.annotate(stored=stored).exclude(stored=None).values_list("pk", "stored")
