"""Finding rows: what the parameters of a list mean, without a page or a request.

Lists, exports, bulk runs and the dashboard's links use it, so that a number and the rows behind it always agree.
"""

from transactions.finding.filters import Filter, UnknownFilter, condition, filters_of, register, rows
from transactions.finding.search import HELP, MOST, finder, known_as

__all__ = [
    "HELP",
    "MOST",
    "Filter",
    "UnknownFilter",
    "condition",
    "filters_of",
    "finder",
    "known_as",
    "register",
    "rows",
]
