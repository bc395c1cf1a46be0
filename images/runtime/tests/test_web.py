"""The HTTP server against clients that are slow, wrong or greedy, and the multi-model API."""

import json
import os
import socket
import tempfile
import threading
import unittest
from unittest import mock

import support
from tenantry_runtime import multi_model, web


class Echo:
    """A model that answers with what it was loaded from and what it was asked."""

    def __init__(self, directory):
        if directory.endswith("broken"):
            raise web.HttpError(400, "this model is broken")
        self.directory = directory


def respond(registry):
    def answer(request):
        found = multi_model.route(registry, request, lambda model, asked: (200, asked.body,
                                                                           {"X-From": model.directory}))
        if found:
            return found
        if request.path == "/crash":
            raise RuntimeError("boom")
        return 200, request.body, {"Content-Type": "text/plain"}
    return answer


class ServerCase(unittest.TestCase):
    def setUp(self):
        self.base = os.path.realpath(tempfile.mkdtemp())
        environment = mock.patch.dict(os.environ, {"SAGEMAKER_MAX_REQUEST_SIZE": "1000",
                                                   "TENANTRY_OPT_ML": self.base, "SAGEMAKER_MAX_LOADED_MODELS": "2"})
        environment.start()
        self.addCleanup(environment.stop)
        self.server = web.Server(("127.0.0.1", 0), respond(multi_model.Registry(Echo)))
        self.port = self.server.server_address[1]
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def raw(self, data):
        """The whole answer to raw bytes on one connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                chunk = connection.recv(65536)
                if not chunk:
                    return answer.decode()
                answer += chunk


class Bodies(ServerCase):
    def test_two_requests_on_one_connection(self):
        one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        answer = self.raw(one + one.replace(b"abc", b"def"))
        self.assertEqual(answer.count("HTTP/1.1 200"), 2)
        self.assertTrue(answer.endswith("def"))

    def test_a_chunked_body_arrives_whole(self):
        answer = self.raw(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        self.assertIn("HTTP/1.1 200", answer)
        self.assertTrue(answer.endswith("abcde"))

    def test_malformed_bodies_are_refused_and_the_connection_closed(self):
        cases = {
            "413": [b"Content-Length: 1001\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n"],
            "400": [b"Content-Length: -1\r\n\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                    b"Content-Length: 5\r\n\r\nab", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"Transfer-Encoding: gzip\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                    b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
        }
        for status, heads in cases.items():
            for head in heads:
                with self.subTest(head):
                    answer = self.raw(b"POST / HTTP/1.1\r\n" + head)
                    self.assertTrue(answer.startswith(f"HTTP/1.1 {status} "), answer)
                    self.assertEqual(answer.count("HTTP/1.1"), 1)
                    self.assertIn("Connection: close", answer)

    def test_an_exception_is_an_answer(self):
        status, body, _ = support.call(self.port, "POST", "/crash", b"")
        self.assertEqual((status, json.loads(body)), (500, {"error": "RuntimeError: boom"}))


class MultiModel(ServerCase):
    def load(self, name, directory):
        os.makedirs(os.path.join(self.base, directory), exist_ok=True)
        url = os.path.join(self.base, directory)
        return support.call(self.port, "POST", "/models", {"model_name": name, "url": url})

    def test_load_list_invoke_unload(self):
        self.assertEqual(self.load("a", "one")[0], 200)
        self.assertEqual(self.load("a", "one")[0], 409)
        status, body, _ = support.call(self.port, "GET", "/models")
        self.assertEqual(json.loads(body), {"models": [{"modelName": "a", "modelUrl": self.base + "/one"}]})
        self.assertEqual(json.loads(support.call(self.port, "GET", "/models/a")[1])["modelName"], "a")
        status, body, headers = support.call(self.port, "POST", "/models/a/invoke", b"hello")
        self.assertEqual((status, body, headers["X-From"]), (200, b"hello", self.base + "/one"))
        self.assertEqual(support.call(self.port, "DELETE", "/models/a")[0], 200)
        for method, path in (("DELETE", "/models/a"), ("GET", "/models/a"), ("POST", "/models/a/invoke")):
            self.assertEqual(support.call(self.port, method, path, b"" if method == "POST" else None)[0], 404)

    def test_no_room_is_507_and_a_failed_load_takes_none(self):
        self.assertEqual(self.load("x", "broken")[0], 400)
        self.assertEqual([self.load(name, name)[0] for name in ("a", "b", "c")], [200, 200, 507])

    def test_a_url_outside_is_refused(self):
        for url in ("/etc", self.base + "/../..", "relative", 5, None):
            status, _, _ = support.call(self.port, "POST", "/models", {"model_name": "a", "url": url})
            self.assertEqual(status, 400, url)
        status, _, _ = support.call(self.port, "POST", "/models", b"[" * 100000)
        self.assertEqual(status, 413)
        status, _, _ = support.call(self.port, "POST", "/models", b"[" * 900)
        self.assertEqual(status, 400)


if __name__ == "__main__":
    unittest.main()
