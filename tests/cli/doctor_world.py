"""The doctor called as its click command, captures on disk, and a front that misbehaves between it and a gateway."""

import base64
import contextlib
import gzip
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from click.testing import CliRunner

from stibgate.cli.context import Context
from stibgate.cli.doctor import doctor
from stibgate.errors import StibgateError


def run(*words, env=None):
    """Return (exit code, standard output, standard error), as `main` would end the command."""
    ran = CliRunner().invoke(doctor, [str(word) for word in words], obj=Context(), env=env)
    if isinstance(ran.exception, StibgateError):
        return ran.exception.exit_code, ran.stdout, f"{ran.exception.message}\n{ran.exception.hint}"
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def findings(*words, env=None, code=0):
    """Return what `--json` printed, after asserting the exit code."""
    ended, out, err = run(*words, "--json", env=env)
    assert ended == code, (ended, out, err)
    return [json.loads(line) for line in out.splitlines()]


def capture(file, headers, body, /, **others):
    """Write a capture file and return its path."""
    document = {
        "method": "POST",
        "path": "/hooks/jobs",
        "headers": [list(pair) for pair in headers],
        "body_base64": base64.b64encode(body).decode(),
        "received_at": "2026-05-17T18:43:00Z",
        **others,
    }
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))
    return file


@contextlib.contextmanager
def served(handler):
    """Give the URL of a loopback HTTP server with *handler*."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Front(BaseHTTPRequestHandler):
    """A proxy that passes requests on, with one fault."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "front/1", ""
    far = None
    fault = ""

    def handle_expect_100(self):
        if self.too_large():
            self.answer(413)
            return False
        return super().handle_expect_100()

    def do_GET(self):
        self.pass_on(b"")

    def do_POST(self):
        body = self.rfile.read(0 if self.fault == "cut" and self.large() else int(self.headers["content-length"]))
        if self.too_large():
            self.answer(413)
            return
        if self.fault == "cut" and self.large():
            self.close_connection = True
            return
        if self.fault == "gunzip" and self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
            del self.headers["content-encoding"]
        if self.fault == "twice" and len(body) > 1024:
            self.ask(body)
        self.pass_on(body)

    def large(self):
        return int(self.headers["content-length"]) > 1024**2

    def too_large(self):
        return self.fault == "limit" and self.large()

    def pass_on(self, body):
        if self.fault == "redirect":
            self.answer(308, location=f"https://elsewhere.example.com{self.path}")
        elif self.fault == "everything":
            self.answer(200)
        else:
            self.answer(*self.ask(body))

    def ask(self, body):
        connection = http.client.HTTPConnection(self.far.hostname, self.far.port)
        names = ("content-type", "content-encoding", "stibnite-event-type", "stibnite-signature")
        headers = {name: self.headers[name] for name in names if self.headers.get(name)}
        connection.request(self.command, self.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        told = answer.status, answer.read()
        connection.close()
        return told

    def answer(self, status, text=b"", **headers):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)
        self.close_connection = True

    def log_message(self, *_):
        pass


def front(gateway_url, fault):
    """Return the handler of a proxy to *gateway_url* with one *fault*."""
    return type("Front", (Front,), {"far": urlsplit(gateway_url), "fault": fault})
