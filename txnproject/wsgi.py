"""Django as a WSGI application with checked settings. `txnproject.asgi`, the entry point of web processes, uses it."""

import os

from django.core.checks import Error, run_checks
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
application = get_wsgi_application()

# Management commands run the system checks before they start, WSGI servers do not: a wrong value would only be noticed
# at the first request that needs it. Stop the boot instead, with the check's id and hint.
errors = [found for found in run_checks(databases=["default"]) if isinstance(found, Error)]
if errors:
    raise SystemCheckError("\n".join(str(error) for error in errors))
