"""What staff and the dashboard keep: bulk runs, proposed statuses, saved lists, counts."""

from operators.models.bulk import BulkRun
from operators.models.counts import MinuteCount
from operators.models.proposals import Proposal
from operators.models.views import SavedView

__all__ = ["BulkRun", "MinuteCount", "Proposal", "SavedView"]
