"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from txnproject.health import healthz, readyz
from txnproject.metrics import metrics

urlpatterns = [
    path("v1/", include("transactions.api.urls")),
    path("v1/schema", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"),
    path("webhooks/", include("webhooks.urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("admin/", admin.site.urls),
]

handler404 = "transactions.api.problems.page_not_found"
handler500 = "transactions.api.problems.server_error"
