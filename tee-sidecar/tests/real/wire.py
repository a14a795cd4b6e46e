"""HTTP/1.1 over a bare socket, so that a check sees exactly the bytes that crossed the wire.

No HTTP library stands between the socket and the checks: a client library may decode, re-encode or
drop bytes, and the signature of an answer covers them as they were sent.
"""

import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

READ_SECS = 120


class WireError(Exception):
    """The peer did not speak HTTP/1.1 as expected."""


@dataclass
class Answer:
    """One response: its status, headers (names in lower case) and body with the framing removed."""

    status: int
    headers: dict
    body: bytes
    # Whether the body ended as its framing says; False means the connection was cut.
    whole: bool

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        value = self.headers.get(name.lower())
        if value is None:
            raise WireError(f"no header {name} in the answer: {self.headers}")
        return value


class Exchange:
    """A request that was sent, and its answer as it arrives."""

    def __init__(self, base, method, path, body=None, headers=()):
        where = urlsplit(base)
        self._socket = socket.create_connection((where.hostname, where.port), timeout=READ_SECS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._closed_by_peer = False
        lines = [f"{method} {path} HTTP/1.1", f"host: {where.hostname}:{where.port}"]
        lines.append("connection: close")
        if body is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        self._socket.sendall(head + (body or b""))
        self.status, self.headers = self._read_head()
        self._whole = False

    def pieces(self):
        """The body in the pieces in which it was framed."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in self.headers:
            body, self._whole = self._read_up_to(int(self.headers["content-length"]))
            yield body
        else:
            while self._fill():
                pass
            self._whole = True
            yield self._take(len(self._buffer))

    def finish(self):
        """Reads to the end and closes."""
        body = b"".join(self.pieces())
        self.leave()
        return Answer(self.status, self.headers, body, self._whole)

    def leave(self):
        """Closes the connection, whatever is still to come."""
        self._socket.close()

    def _read_head(self):
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                raise WireError(f"closed before the end of the head: {self._buffer!r}")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *fields = head.decode("latin-1").split("\r\n")
        headers = {}
        for field in fields:
            name, _, value = field.partition(":")
            name = name.strip().lower()
            if name in headers:
                raise WireError(f"header {name} twice")
            headers[name] = value.strip()
        return int(status_line.split(" ")[1]), headers

    def _chunks(self):
        while True:
            line = self._read_line()
            if line is None:
                return
            size = int(line.split(b";")[0], 16)
            if size == 0:
                # No trailers are expected: the empty line ends the body.
                self._whole = self._read_line() == b""
                return
            data, whole = self._read_up_to(size)
            yield data
            if not whole or self._read_line() != b"":
                return

    def _read_line(self):
        while b"\r\n" not in self._buffer:
            if not self._fill():
                return None
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _read_up_to(self, size):
        while len(self._buffer) < size and self._fill():
            pass
        data = self._take(size)
        return data, len(data) == size

    def _take(self, size):
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _fill(self):
        if self._closed_by_peer:
            return False
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._closed_by_peer = not data
        self._buffer += data
        return bool(data)


def get(base, path, headers=()):
    """GET, read to the end."""
    return Exchange(base, "GET", path, headers=headers).finish()


def post(base, path, body, headers=()):
    """POST of a JSON body given as bytes, read to the end."""
    return Exchange(base, "POST", path, body, headers).finish()


def events(body):
    """The data of each server-sent event in `body`; every event must be one `data:` line."""
    if not body.endswith(b"\n\n"):
        raise WireError(f"the stream does not end with an empty line: {body[-80:]!r}")
    found = []
    for block in body[:-2].split(b"\n\n"):
        if not block.startswith(b"data: ") or b"\n" in block:
            raise WireError(f"not a one-line event: {block!r}")
        found.append(block[len(b"data: ") :])
    return found
