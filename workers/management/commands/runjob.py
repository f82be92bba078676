"""`manage.py runjob`: run waiting jobs here and now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.jobs import run_job
from workers.models import Job


class Command(BaseCommand):
    help = "Run jobs now, in this process, whatever their time; a job that is not waiting is left as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", nargs="+", type=int, help="The job's number, as the admin shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        for job_id in options["job"]:
            try:
                self.stdout.write(f"{job_id}: {run_job(job_id)}")
            except Job.DoesNotExist as error:
                raise CommandError(f"There is no job {job_id}.") from error
