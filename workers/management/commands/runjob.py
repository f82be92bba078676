"""`manage.py runjob`: runs of waiting jobs in this process, at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.jobs import run_job
from workers.models import Job


class Command(BaseCommand):
    help = "Run jobs now, in this process, even if they are not due. Jobs that are not waiting are left as they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", nargs="+", type=int, help="The job's number, as the admin shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        for job_id in options["job"]:
            try:
                self.stdout.write(f"{job_id}: {run_job(job_id)}")
                if why := Job.objects.values_list("last_error", flat=True).get(pk=job_id):
                    self.stderr.write(f"{job_id}: {why}")
            except Job.DoesNotExist as error:
                raise CommandError(f"There is no job {job_id}.") from error
