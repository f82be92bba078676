from tests.transactions.conftest import far, record, third

__all__ = ["far", "record", "third"]
