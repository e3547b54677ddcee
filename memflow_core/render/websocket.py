"""A client for the messages that ComfyUI sends over a WebSocket (RFC 6455), on loopback, by the standard library."""

from __future__ import annotations

import base64
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUED = 0
MOST_BYTES = 2**28


class Closed(OSError):
    """The other side has closed the connection."""


class WebSocket:
    """A connection, read message by message. A context manager.

    timeout_s  the longest wait for bytes; past it `receive` raises TimeoutError.
    """

    def __init__(self, host: str, port: int, path: str, timeout_s: float) -> None:
        self._socket = socket.create_connection((host, port), timeout_s)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        status = self._file.readline()
        while self._file.readline().strip():
            pass
        if b" 101 " not in status:
            raise Closed(f"the server refused the WebSocket: {status.decode(errors='replace').strip()}")

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._socket.close()

    def receive(self) -> str | bytes:
        """The next message. Raises Closed at the end, TimeoutError past the longest wait."""
        parts: list[bytes] = []
        kind = TEXT
        while True:
            final, code, data = self._frame()
            if code == CLOSE:
                raise Closed("the server closed the WebSocket.")
            if code == PING:
                self._send(PONG, data)
            elif code in (TEXT, BINARY, _CONTINUED):
                kind = code or kind
                parts.append(data)
                if final:
                    whole = b"".join(parts)
                    return whole.decode() if kind == TEXT else whole

    def send(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        if length > MOST_BYTES:
            raise Closed(f"a message of {length} bytes is too long.")
        return bool(first & 128), first & 15, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise Closed("the connection broke off.")
        return data

    def _send(self, code: int, data: bytes) -> None:
        mask = os.urandom(4)
        size = len(data)
        head = bytes([128 | code, 128 | size]) if size < 126 else struct.pack(">BBH", 128 | code, 128 | 126, size)
        self._socket.sendall(head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)))
