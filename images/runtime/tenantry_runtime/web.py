"""The small HTTP/1.1 server under every inference container: bounded bodies, threads and waiting.

The platform's data plane is the only client, but what it forwards is a tenant's, so a request that is
malformed, too large or too slow is answered and its connection closed. No TLS and no authentication: the
port is reachable from the platform only.
"""

import json
import os
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEFAULT_MAX_BODY = 25 * 1024 * 1024
MAX_CONNECTIONS = 128
IDLE_SECONDS = 75


class HttpError(Exception):
    """An answer other than success; `headers` may carry more than the message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def max_body():
    """The largest request body in bytes: `SAGEMAKER_MAX_REQUEST_SIZE`, or the image's MAX_CONTENT_LENGTH."""
    for name in ("SAGEMAKER_MAX_REQUEST_SIZE", "MAX_CONTENT_LENGTH"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return DEFAULT_MAX_BODY


def json_error(status, message):
    """The error body used unless the server has its own."""
    return json.dumps({"error": message}).encode(), "application/json"


class Request:
    """One request: `method`, `path` without its query, `headers`, `body`."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        """The body as a JSON object; raises HttpError 400."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"failed to parse the request JSON buffer: {error}") from error
        if not isinstance(value, dict):
            raise HttpError(400, "the request body must be a JSON object")
        return value


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "TenantryRuntime"
    sys_version = ""
    timeout = IDLE_SECONDS
    # Without it a small answer waits for the acknowledgement of its own headers.
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def _chunked(self, limit):
        data = b""
        while True:
            line = self.rfile.readline(1026)
            try:
                size = int(line.split(b";", 1)[0].strip() or b"x", 16)
            except ValueError:
                raise HttpError(400, "malformed chunk size") from None
            if size < 0:
                raise HttpError(400, "malformed chunk size")
            if len(data) + size > limit:
                raise HttpError(413, f"the request body is larger than {limit} bytes")
            if size == 0:
                for _ in range(100):
                    if self.rfile.readline(65537) in (b"\r\n", b"\n", b""):
                        return data
                raise HttpError(400, "too many trailers")
            chunk = self.rfile.read(size)
            if len(chunk) < size or self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise HttpError(400, "the request body ended early")
            data += chunk

    def _body(self):
        limit = max_body()
        encoding = self.headers.get("Transfer-Encoding")
        lengths = self.headers.get_all("Content-Length") or []
        if encoding is not None:
            if lengths or encoding.strip().lower() != "chunked":
                raise HttpError(400, "the request must have either a content length or chunked encoding")
            return self._chunked(limit)
        if not lengths:
            return b""
        if len(set(lengths)) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            raise HttpError(400, "malformed content length")
        if int(lengths[0]) > limit:
            raise HttpError(413, f"the request body is larger than {limit} bytes")
        body = self.rfile.read(int(lengths[0]))
        if len(body) < int(lengths[0]):
            raise HttpError(400, "the request body ended early")
        return body

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value).replace("\r", " ").replace("\n", " "))
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _answer(self):
        read = False
        try:
            body = self._body()
            read = True
            request = Request(self.command, self.path.split("?", 1)[0], self.headers, body)
            status, data, headers = self.server.respond(request)
        except HttpError as error:
            if not read:
                self.close_connection = True
            status = error.status
            data, content_type = self.server.error_body(error.status, str(error))
            headers = {"Content-Type": content_type}
        except MemoryError:
            status, headers = 507, {"Content-Type": "application/json"}
            data, _ = json_error(507, "out of memory")
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        except Exception as error:
            traceback.print_exc()
            status = 500
            data, content_type = self.server.error_body(500, f"{type(error).__name__}: {str(error)[:2000]}")
            headers = {"Content-Type": content_type}
        try:
            self._send(status, data, headers)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = _answer

    def log_message(self, template, *args):
        """Pings are not logged: they would be most of the log."""
        if not getattr(self, "path", "").startswith("/ping"):
            print(template % args, file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    """Calls `respond(Request) -> (status, body, headers)` on a thread per connection, at most a few hundred."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, respond, error_body=json_error):
        self.respond, self.error_body = respond, error_body
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request, client_address):
        """Waits for a free thread, so that a flood queues in the kernel instead of in memory."""
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request, client_address):
        """Gives the thread's place back when the connection ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request, client_address):
        """A connection that breaks is not news."""


def port():
    """The port the platform expects: `SAGEMAKER_BIND_TO_PORT`, 8080 unless told."""
    return int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)


def serve_forever(respond, error_body=json_error):
    """Listens on all addresses of the container until SIGTERM."""
    import signal

    server = Server(("0.0.0.0", port()), respond, error_body)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print(f"listening on port {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    return 0
