"""Sandbox for integrations: a simulated third party and a client's endpoint. See `python -m sandbox --help`."""
