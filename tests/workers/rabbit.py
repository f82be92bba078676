"""A broker that speaks as much of AMQP 0-9-1 as a publisher with confirms needs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pika import frame, spec

Answer = Literal["ack", "block", "silence"]


@contextmanager
def rabbit(answer: Answer) -> Iterator[str]:
    """Serve one connection; `answer` is the reaction to a published message. Yield the BROKER_URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answer), daemon=True)
        thread.start()
        yield f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/%2F"
        thread.join(timeout=10)


def _serve(listener: socket.socket, answer: Answer) -> None:
    published: dict[Answer, Any] = {"ack": spec.Basic.Ack(1), "block": spec.Connection.Blocked("low on memory")}
    capabilities = dict.fromkeys(("publisher_confirms", "basic.nack", "connection.blocked"), True)
    start = spec.Connection.Start(server_properties={"capabilities": capabilities})
    replies = {
        spec.Connection.StartOk: spec.Connection.Tune(10, 131072, 0),
        spec.Connection.Open: spec.Connection.OpenOk(),
        spec.Channel.Open: spec.Channel.OpenOk(),
        spec.Confirm.Select: spec.Confirm.SelectOk(),
        spec.Basic.Publish: published.get(answer),
        spec.Channel.Close: spec.Channel.CloseOk(),
        spec.Connection.Close: spec.Connection.CloseOk(),
    }
    with listener.accept()[0] as one:
        one.recv(8)  # the header of the protocol
        one.sendall(frame.Method(0, start).marshal())
        received = b""
        while piece := one.recv(4096):
            received += piece
            while (found := frame.decode_frame(received))[0]:
                received = received[found[0] :]
                if reply := replies.get(type(getattr(found[1], "method", None))):
                    channel = 0 if isinstance(reply, spec.Connection.Blocked) else found[1].channel_number
                    one.sendall(frame.Method(channel, reply).marshal())
