"""Every address of the service but the probes' (`txnproject.probes`)."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

urlpatterns = [
    path("v1/", include("transactions.api.urls")),
    path("v1/schema", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"),
    path("webhooks/", include("webhooks.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "transactions.api.problems.bad_request"
handler404 = "transactions.api.problems.page_not_found"
handler500 = "transactions.api.problems.server_error"
