from tests.transactions.conftest import creating, far, record, third

__all__ = ["creating", "far", "record", "third"]
