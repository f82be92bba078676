"""Client API: each view parses the request, calls one service, and builds the response."""

from typing import Any, cast

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clients.endpoints import enable_endpoint, endpoint_state
from clients.rate_limits import ClientRateLimit
from clients.settings import ClientSettings
from providers.settings import provider_by_id
from transactions.api import operations
from transactions.api.fields import is_client_ref
from transactions.api.pages import NewestFirst
from transactions.api.serializers import ListQuery, NewTransaction, provider_error
from transactions.models import Event, Transaction
from transactions.notifications import notify_again
from transactions.snapshot import TransactionSnapshot
from transactions.store import NoProvider, accept, find
from workers.foundation.database import retry_once
from workers.foundation.text import rfc3339


class ClientView(APIView):
    """Base class of the views that need an API key."""

    throttle_classes = [ClientRateLimit]

    @property
    def client(self) -> ClientSettings:
        return cast(ClientSettings, self.request.user)  # from ApiKeyAuthentication

    def own(self, client_ref: str) -> TransactionSnapshot:
        """Return a transaction of this client. Raises NotFound, also for a transaction of another client."""
        if is_client_ref(client_ref):
            record = retry_once(lambda: find(client_id=self.client.id, client_ref=client_ref))
            if record is not None:
                return record
        raise NotFound


class Transactions(ClientView):
    @operations.accept_transaction
    def post(self, request: Request) -> Response:
        """Store the transaction under your own id, which makes the request safe to retry: any number of requests
        with the same id and content, also concurrent ones, create one transaction. Retry after a 503, and after a
        timeout."""
        context = {"client": self.client, "idempotency_key": request.headers.get("Idempotency-Key")}
        body = NewTransaction(data=request.data, context=context)
        body.is_valid(raise_exception=True)
        try:
            record, new = accept(client=self.client, order=body.order())
        except NoProvider as error:
            raise provider_error(str(error), "required") from error
        if new:
            return Response(as_json(record), status=202, headers={"Location": f"/v1/transactions/{record.client_ref}"})
        return Response(as_json(record), headers={"Idempotent-Replayed": "true"})

    @operations.list_transactions
    def get(self, request: Request) -> Response:
        """List them newest first. Follow `next` and `previous`: new transactions do not move the pages."""
        query = ListQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        filters = query.validated_data
        page = NewestFirst(filters.pop("limit", None))
        filters.pop("cursor", None)  # which the page reads from the request
        found = Transaction.objects.filter(client_id=self.client.id, **filters)
        rows = page.paginate_queryset(found, request, view=self) or []
        return page.get_paginated_response([as_json(from_model(row)) for row in rows])


class OneTransaction(ClientView):
    @operations.read_transaction
    def get(self, request: Request, id: str) -> Response:
        """Read it by your own id. You cannot read the transactions of other clients."""
        return Response(as_json(self.own(id)))


class Events(ClientView):
    @operations.list_events
    def get(self, request: Request, id: str) -> Response:
        """List them in order, with the time and the source of each change."""
        record = self.own(id)
        events = Event.objects.filter(transaction_id=record.id, kind=Event.Kind.STATUS).order_by("sequence")
        shown = [
            {"sequence": one.sequence, "status": one.status, "source": one.source, "at": rfc3339(one.at)}
            for one in events
        ]
        return Response({"results": shown})


class Notifications(ClientView):
    @operations.repeat_notification
    def post(self, request: Request, id: str) -> Response:
        """Send the current status to your endpoint again, even if an earlier delivery was confirmed."""
        record = self.own(id)
        retry_once(lambda: notify_again(record))
        return Response(as_json(record), status=202)


class Endpoint(ClientView):
    @operations.read_endpoint
    def get(self, request: Request) -> Response:
        """Show whether the endpoint is enabled, since when deliveries fail, and why it was disabled."""
        return Response(retry_once(lambda: endpoint_state(self.client.id)))


class EnableEndpoint(ClientView):
    @operations.enable_endpoint
    def post(self, request: Request) -> Response:
        """Enable the endpoint if the relay disabled it, and send the queued notifications at once. This has no effect
        on an enabled endpoint."""
        retry_once(lambda: enable_endpoint(self.client.id))
        return Response(retry_once(lambda: endpoint_state(self.client.id)))


def as_json(record: TransactionSnapshot) -> dict[str, Any]:
    provider = provider_by_id(record.provider_id)
    return record.as_json(provider.slug if provider else "")


def from_model(row: Transaction) -> TransactionSnapshot:
    return TransactionSnapshot(**{name: getattr(row, name) for name in TransactionSnapshot.__dataclass_fields__})
