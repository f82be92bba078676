"""Django as a WSGI application, its settings checked. `txnproject.asgi`, the web process's entry, calls it."""

import os

from django.core.checks import Error, run_checks
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
application = get_wsgi_application()

# A management command checks its settings before it starts; a WSGI server does not, so a bad value would show
# only at the first request that needs it. Stop the boot instead, with the check's id and hint.
errors = [found for found in run_checks(databases=["default"]) if isinstance(found, Error)]
if errors:
    raise SystemCheckError("\n".join(str(error) for error in errors))
