"""The web process's entry: `granian --interface wsgi txnproject.wsgi:application`."""

import io
import os
from typing import Any

from django.core.checks import Error, run_checks
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
_django = get_wsgi_application()

from transactions.api.parsing import MAX_BODY  # noqa: E402  it can be imported only after the set-up

# A management command checks its settings before it starts; a WSGI server does not, so a bad value would show
# only at the first request that needs it. Stop the boot instead, with the check's id and hint.
errors = [found for found in run_checks(databases=["default"]) if isinstance(found, Error)]
if errors:
    raise SystemCheckError("\n".join(str(error) for error in errors))


def application(environ: dict[str, Any], start_response: Any) -> HttpResponseBase:
    """Django, with the length of a body that came without one (chunked, or HTTP/2): Django would take it for empty.

    No more is read than what is refused for its size anyway.
    """
    if not environ.get("CONTENT_LENGTH") and environ["REQUEST_METHOD"] in ("POST", "PUT", "PATCH"):
        body = environ["wsgi.input"].read(MAX_BODY + 1)
        environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    return _django(environ, start_response)
