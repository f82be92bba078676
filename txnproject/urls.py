"""URLs of the service, except those of the probes (`txnproject.health`)."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from transactions.api.problems import problem_page
from transactions.api.schema import Description
from txnproject.landing import landing

docs = SpectacularSwaggerSplitView.as_view(template_name="docs.html", authentication_classes=[], permission_classes=[])

urlpatterns = [
    path("", landing, name="landing"),
    path("v1/", include("transactions.api.urls")),
    path("v1/schema", Description.as_view(), name="schema"),
    path("docs", docs, name="docs"),
    path("docs/", RedirectView.as_view(pattern_name="docs")),
    path("problems/<slug:slug>", problem_page, name="problem"),
    path("webhooks/", include("webhooks.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "transactions.api.problems.bad_request"
handler403 = "operators.site.refused"
handler404 = "transactions.api.problems.page_not_found"
handler500 = "transactions.api.problems.server_error"
