"""Outbound calls in a test."""

import asyncio

import pytest

from workers.outbound import CallFailed, Http


def call(url, method="GET", *, allowed=("127.0.0.1",), body=None, headers=None, within=5.0):
    async def go():
        async with Http(list(allowed)) as http:
            return await http.call(method, url, headers=headers or {}, body=body, within=within)

    return asyncio.run(go())


def failed(kind, url, method="GET", **how):
    """Make a call that raises exactly this error; return its record."""
    with pytest.raises(CallFailed) as caught:
        call(url, method, **how)
    assert type(caught.value) is kind, caught.value
    return caught.value.call
