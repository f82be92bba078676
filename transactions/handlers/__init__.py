"""Handlers: each gets a frozen snapshot, makes network calls, and returns what it learnt. None touches the database."""
