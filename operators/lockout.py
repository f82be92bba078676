"""Lock of the admin's login after too many failed logins (docs/security.md): the counted keys and the page."""

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
"""Upper bound for the characters of a user name; axes fails to store more than 255."""


def client_address(request: HttpRequest) -> str | None:
    """Return the client IP address under which a login attempt is counted."""
    address = caller(request)
    return None if address is None else str(address)


def tried_name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """Return the user name under which a login attempt is counted."""
    return str((credentials or request.POST).get("username") or "")[:LONGEST_NAME]


def locked_out(request: HttpRequest, _: HttpResponse | None, credentials: Mapping[str, Any] | None) -> HttpResponse:
    """Return the page that replaces the login while it is locked, with the time left."""
    tries = AccessAttempt.objects.filter(username=tried_name(request, credentials), ip_address=client_address(request))
    began = tries.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    left = (began + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()
    context = {**admin.site.each_context(request), "title": "Too many wrong passwords", "minutes": math.ceil(left / 60)}
    answer = render(request, "admin/locked_out.html", context, status=429)
    answer["Retry-After"] = str(max(math.ceil(left), 1))
    return answer
