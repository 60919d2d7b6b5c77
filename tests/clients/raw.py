"""Requests that no client library would send: signed as PyODPS signs them, then put on the wire byte by byte."""

import http.client
import json
import select
import socket
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate

import requests

# A server may read and drop a refused body for some seconds before it answers.
ANSWER_S = 60


class Answer:
    """What came back: the whole of an HTTP response."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"

    def xml_error(self):
        """Code and message of an error document. PyODPS drops one that lacks any of these four (odps/errors.py)."""
        root = ElementTree.fromstring(self.body)
        code, message, request_id, host = (root.findtext(t) for t in ("Code", "Message", "RequestId", "HostId"))
        if not (code and message and request_id and host):
            raise AssertionError(f"an error document lacks a part: {self}")
        return code, message

    def json_error(self):
        """Code and message as the tunnel gives them (odps/errors.py reads these keys)."""
        document = json.loads(self.body)
        return document["Code"], document["Message"]


class Wire:
    """The way to a server for one PyODPS entry."""

    def __init__(self, server, entry):
        self.port = server.port
        self.entry = entry
        self.base = f"http://127.0.0.1:{server.port}"

    def head(self, method, path, params=None, headers=None):
        """The signed head of a request up to, not including, the empty line; `path` of REST begins with `/api`."""
        given = {"Date": formatdate(usegmt=True), **(headers or {})}
        request = requests.Request(method, self.base + path, params=params or {}, headers=given).prepare()
        # requests says so itself when there is no body; here the caller says what the body is.
        request.headers.pop("Content-Length", None)
        # The signed path is relative to the endpoint: `/api` belongs to it on REST and not on the tunnel.
        self.entry.account.sign_request(request, self.base + ("/api" if path.startswith("/api/") else ""))
        request.headers.update(headers or {})
        lines = [f"{method} {request.path_url} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        return "\r\n".join(lines).encode()

    def send(self, head, pieces=(), end=False):
        """Sends head and pieces as they are and returns the answer, or None when the connection was closed without one.

        It stops sending when an answer comes before the end. `end` closes this side of the connection after the last
        piece, as a client does that dies.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S) as connection:
            try:
                connection.sendall(head + b"\r\n\r\n")
                for piece in pieces:
                    if select.select([connection], [], [], 0)[0]:
                        break
                    connection.sendall(piece)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                # The other side has closed the connection already; its answer may be there.
                pass
            response = http.client.HTTPResponse(connection)
            try:
                response.begin()
                return Answer(response)
            except (http.client.HTTPException, ConnectionResetError):
                return None

    def body(self, method, path, body, params=None, headers=None):
        """A request with a body of known length."""
        head = self.head(method, path, params, headers)
        return self.send(head + f"\r\nContent-Length: {len(body)}".encode(), [body])

    def chunked(self, method, path, pieces, params=None, headers=None, end=False):
        """A request that says its body is chunked; the pieces are sent as they are, chunk heads included."""
        head = self.head(method, path, params, headers)
        return self.send(head + b"\r\nTransfer-Encoding: chunked", pieces, end)


def chunk(data):
    """One well-formed chunk of HTTP/1.1 (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
