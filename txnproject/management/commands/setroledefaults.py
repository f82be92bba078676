"""`manage.py setroledefaults`: store the session settings in PostgreSQL, for connections through a pooler."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.backends.signals import connection_created

from workers.foundation.session_settings import check_new_connection, set_role_defaults


class Command(BaseCommand):
    help = (
        "Store the session settings of the service, such as its timeouts, as defaults of a role in the database of "
        "DATABASE_URL. Needed with DATABASE_POOLER=on. They apply to new sessions: reconnect the pooler afterwards."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", default="", help="role of the service; default: the one of DATABASE_URL")

    def handle(self, *args: Any, role: str, **options: Any) -> None:
        connection_created.disconnect(check_new_connection)  # this command repairs what it would refuse
        try:
            set_role_defaults(role)
        finally:
            connection_created.connect(check_new_connection)
        self.stdout.write("The settings are stored. Let the pooler reconnect (PgBouncer: RECONNECT).")
