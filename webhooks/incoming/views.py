"""`POST /webhooks/<provider>`: the database is the only service that it calls."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from providers.addresses import may_call
from providers.settings import provider_by_slug
from transactions.api.fields import LONGEST_SLUG
from transactions.api.parsing import MAX_BODY, BodyTooLarge, read_body
from transactions.api.problems import problem
from webhooks.incoming.authentication import Refused, authenticate
from webhooks.incoming.services import Malformed, count_refusal, receive


@csrf_exempt
def webhook(request: HttpRequest, provider: str, id: UUID | None = None, token: str = "") -> HttpResponse:
    """Answer 204 to applied, repeated, late and contradicting webhooks, 401 to unauthentic, 400 to malformed ones."""
    if request.method != "POST":
        return problem(request, "method-not-allowed", headers={"Allow": "POST"})
    found = provider_by_slug(provider) if len(provider) <= LONGEST_SLUG else None
    if found is None:
        count_refusal(None, "unknown_provider")
        return problem(request, "not-found", "Unknown provider.")
    try:
        if not may_call(request, found.webhook_allowed_ips):
            raise Refused("address")
        body = read_body(request)
        sender = authenticate(found, request.headers, body, url=(id, token) if id else None)
        receive(found, sender, body)
    except Refused as refused:
        count_refusal(found, str(refused))
        return problem(request, "webhook-not-authentic", headers={"WWW-Authenticate": "Signature"})
    except UnreadablePostError:
        count_refusal(found, "late")
        return problem(request, "body-late")
    except BodyTooLarge:
        count_refusal(found, "too_large")
        return problem(request, "body-too-large", f"Send at most {MAX_BODY} bytes.")
    except Malformed as malformed:
        count_refusal(found, "malformed")
        return problem(request, "invalid", str(malformed))
    return HttpResponse(status=204)
