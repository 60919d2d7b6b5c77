"""Two proxies: one loses every third answer after the server has done its work, the other can be cut and restored.

The first speaks just enough HTTP/1.1 to find where messages end. A lost answer is a closed connection, which is all
that a client ever sees when a network fails between the server's work and its answer. The second passes bytes of any
protocol.
"""

import http.client
import http.server
import socket
import threading
import urllib.parse

# These describe one connection and are not passed on (RFC 9110, section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


class LossyProxy:
    """Listens on a free port of 127.0.0.1 until it is closed."""

    def __init__(self, target_port, lose_every=3):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                proxy._forward(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        self.target_port = target_port
        self.lose_every = lose_every
        self.lost = []
        self._answers = 0
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _forward(self, handler):
        body = self._read_body(handler)
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in HOP_BY_HOP}
        if "chunked" in handler.headers.get("Transfer-Encoding", ""):
            headers["Transfer-Encoding"] = "chunked"
        upstream = http.client.HTTPConnection("127.0.0.1", self.target_port, timeout=120)
        try:
            # The signature covers the path as it was sent, so it is passed on untouched.
            upstream.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body, encode_chunked="Transfer-Encoding" in headers)
            answer = upstream.getresponse()
            content = answer.read()
            if self._loses(handler):
                handler.close_connection = True
                return
            handler.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP and name.lower() != "content-length":
                    handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(content)
        finally:
            upstream.close()

    def _loses(self, handler):
        with self._lock:
            self._answers += 1
            # Every third, but not always the same one of three requests that a client repeats in turn.
            turn = self._answers // (7 * self.lose_every)
            lost = (self._answers + turn) % self.lose_every == 0
            if lost:
                self.lost.append(self._kind(handler))
            return lost

    @staticmethod
    def _kind(handler):
        """What a lost request was, in the words of the protocol: `POST commit`, `PUT block`, ..."""
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        if handler.command == "PUT" and "blockid" in query:
            return "PUT block"
        if handler.command == "POST" and "uploads" in query:
            return "POST upload session"
        if handler.command == "POST" and "uploadid" in query:
            return "POST commit"
        if handler.command == "POST" and url.path.endswith("/instances"):
            return "POST instance"
        return f"{handler.command} other"

    @staticmethod
    def _read_body(handler):
        if "chunked" in handler.headers.get("Transfer-Encoding", ""):
            return list(_chunks(handler.rfile))
        length = int(handler.headers.get("Content-Length") or 0)
        return handler.rfile.read(length) if length else None


class Relay:
    """Passes bytes between a port of 127.0.0.1 and `target`, a host and a port, until it is cut."""

    def __init__(self, target):
        self._target = target
        self._ends = []
        self._pumps = []
        self._listener = self._held(0)
        self.port = self._listener.getsockname()[1]
        self.restore()

    @staticmethod
    def _held(port):
        """A socket that nobody else can have the port of. Connections are refused as long as it does not listen."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        return held

    def restore(self):
        """Takes connections from now on."""
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def cut(self):
        """Ends every connection and refuses others, as where a server ran that does not run any more."""
        self.close()
        self._listener = self._held(self.port)

    def close(self):
        _shut(self._listener)
        self._accepting.join()
        for end in self._ends:
            _shut(end)
        for pump in self._pumps:
            pump.join()
        for end in [*self._ends, self._listener]:
            end.close()
        self._ends, self._pumps = [], []

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                pump = threading.Thread(target=_pump, args=(source, sink), daemon=True)
                self._pumps.append(pump)
                pump.start()


def _pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(sink)


def _shut(end):
    """Ends both directions, and wakes whoever waits for one."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _chunks(stream):
    while True:
        size = int(stream.readline().split(b";")[0], 16)
        data = stream.read(size)
        stream.readline()
        if size == 0:
            return
        yield data
