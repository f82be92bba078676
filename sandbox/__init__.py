"""A third party and a client's endpoint to try a transaction relay against: `python -m sandbox --help`."""
