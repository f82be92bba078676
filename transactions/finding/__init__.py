"""Filters and search of the operators' lists.

Lists, exports, bulk runs and the dashboard's links share these conditions, so that a count always matches its rows.
"""

from transactions.finding.filters import FILTERS, Filter, UnknownFilter, filters_of, rows
from transactions.finding.search import HELP, MOST, known_as

__all__ = ["FILTERS", "HELP", "MOST", "Filter", "UnknownFilter", "filters_of", "known_as", "rows"]
