from django.urls import path

from transactions.api import views

urlpatterns = [
    path("endpoint", views.Endpoint.as_view(), name="endpoint"),
    path("endpoint/enable", views.EnableEndpoint.as_view(), name="enable-endpoint"),
    path("transactions", views.Transactions.as_view(), name="transactions"),
    path("transactions/<str:id>", views.OneTransaction.as_view(), name="transaction"),
    path("transactions/<str:id>/events", views.Events.as_view(), name="events"),
    path("transactions/<str:id>/notifications", views.Notifications.as_view(), name="notifications"),
]
