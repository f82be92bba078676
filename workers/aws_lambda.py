"""Entry for AWS Lambda: set the function's handler to `workers.aws_lambda.handler`.

The event is `{"jobs": [1, 2, …]}`; each job runs as it would in a worker. No broker is needed.
"""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
django.setup()

from workers.jobs import run_job  # noqa: E402  models can be imported only after the set-up


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Run the jobs of `{"jobs": [ids]}`; return `{id: state}`."""
    return {str(job_id): run_job(int(job_id)) for job_id in event["jobs"]}
