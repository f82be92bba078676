"""The lock on the admin's login after too many wrong passwords: whom it counts, and what it says (docs/security.md)."""

import math
from collections.abc import Mapping
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from providers.addresses import caller

LONGEST_NAME = 150
"""Characters of a user's name; axes would fail at storing a longer one than 255."""


def client_address(request: HttpRequest) -> str | None:
    """From where a try to log in counts."""
    address = caller(request)
    return None if address is None else str(address)


def tried_name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """Under which name a try to log in counts."""
    return str((credentials or request.POST).get("username") or "")[:LONGEST_NAME]


def locked_out(request: HttpRequest, _: HttpResponse | None, credentials: Mapping[str, Any] | None) -> HttpResponse:
    """The page instead of the login."""
    tries = AccessAttempt.objects.filter(username=tried_name(request, credentials), ip_address=client_address(request))
    began = tries.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    left = (began + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()
    context = {**admin.site.each_context(request), "title": "Too many wrong passwords", "minutes": math.ceil(left / 60)}
    answer = render(request, "admin/locked_out.html", context, status=429)
    answer["Retry-After"] = str(max(math.ceil(left), 1))
    return answer
