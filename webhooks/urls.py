from django.urls import path

from webhooks.incoming.views import webhook

urlpatterns = [
    path("<slug:provider>", webhook, name="webhook"),
    path("<slug:provider>/<uuid:id>/<str:token>", webhook, name="webhook-by-token"),
]
