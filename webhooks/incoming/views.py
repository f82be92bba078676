"""`POST /webhooks/<provider>`: the database is the only service that it calls."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from providers.addresses import may_call
from providers.settings import provider_by_slug, slugs
from transactions.api.parsing import MAX_BODY, BodyTooLarge, read_body
from transactions.api.problems import problem
from webhooks.incoming.authentication import Refused
from webhooks.incoming.bodies import CODINGS, Malformed, UnknownCoding, open_authentic
from webhooks.incoming.refusals import count_refusal
from webhooks.incoming.services import receive


@csrf_exempt
def webhook(request: HttpRequest, provider: str, id: UUID | None = None, token: str = "") -> HttpResponse:
    """Answer 204 to authentic webhooks, 401 to others, and 400 to authentic ones that cannot be parsed."""
    if request.method != "POST":
        return problem(request, "method-not-allowed", headers={"Allow": "POST"})
    found = provider_by_slug(provider) if provider in slugs() else None
    if found is None:
        count_refusal(None, "unknown_provider")
        return problem(request, "not-found", "Unknown provider.")
    try:
        if not may_call(request, found.webhook_allowed_ips):
            raise Refused("address")
        sent = read_body(request)
        sender, body = open_authentic(found, request.headers, sent, url=(id, token) if id else None)
        receive(found, sender, body, request.META.get("CONTENT_TYPE", ""))
    except Refused as refused:
        count_refusal(found, str(refused))
        return problem(request, "webhook-not-authentic", headers={"WWW-Authenticate": "Signature"})
    except UnreadablePostError:
        count_refusal(found, "late")
        return problem(request, "body-late")
    except BodyTooLarge:
        count_refusal(found, "too_large")
        return problem(request, "body-too-large", f"Send at most {MAX_BODY} bytes.")
    except UnknownCoding as unknown:
        count_refusal(found, "malformed")
        headers = {"Accept-Encoding": ", ".join(CODINGS)}
        return problem(request, "unsupported-media-type", str(unknown), headers=headers)
    except Malformed as malformed:
        count_refusal(found, "malformed")
        return problem(request, "invalid", str(malformed))
    return HttpResponse(status=204)
