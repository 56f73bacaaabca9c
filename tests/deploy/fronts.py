"""Real nginx and Caddy with the files that we ship, on loopback, and an upstream that counts what reaches it."""

import contextlib
import datetime as dt
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.gateway import PATIENCE_S, until
from tests.ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


def program(name):
    """Return the path of a program; skip the test, and say so, where it is missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed here; .ci/run installs it")
    return found


def certificate(folder):
    """Write a self-signed certificate for hooks.example.com."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.com")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    (folder / "fullchain.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def nginx_conf(folder, port, upstream):
    """Write our nginx file with ports, certificate and log of this test, and the least that goes around it."""
    text = (DEPLOY / "nginx/stibgate.conf").read_text()
    for ours, theirs in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "    listen [::]:443 ssl;\n": "",
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{upstream};",
        "/etc/ssl/stibgate": str(folder),
        "/var/log/nginx": str(folder),
    }.items():
        assert text.count(ours) >= 1, ours
        text = text.replace(ours, theirs)
    (folder / "stibgate.conf").write_text(text)
    places = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    whole = folder / "nginx.conf"
    whole.write_text(
        f"{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n"
        f"events {{}}\nhttp {{\n    access_log {folder}/other.log;\n{places}    include stibgate.conf;\n}}\n"
    )
    certificate(folder)
    return whole


class Front:
    """A running front: HTTP on loopback, and everything that it wrote."""

    def __init__(self, folder, port, *, tls):
        self.folder, self.port, self.tls = folder, port, tls

    def request(self, method, path, body=None, headers=None):
        """Return the status, the headers and the body of an answer."""
        context = ssl._create_unverified_context() if self.tls else None
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE_S, context=context)
            if self.tls
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        )
        all_headers = {"content-type": "application/json", "host": "hooks.example.com", **(headers or {})}
        with contextlib.closing(connection):
            # One that is refused before its body was sent answers and hangs up.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, all_headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def written(self):
        """Return every byte of every file that the front wrote."""
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.suffix == ".log")


@contextlib.contextmanager
def running(words, folder, port, **how):
    """Run a front until the block ends."""
    with (folder / "console.log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, **how)
    try:

        def listens():
            assert process.poll() is None, (folder / "console.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10):
                return True
            return False

        until("the front listens", listens)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextlib.contextmanager
def nginx(folder, upstream):
    """Run nginx in front of the port *upstream*."""
    binary, port = program("nginx"), free_port()
    whole = nginx_conf(folder, port, upstream)
    with running([binary, "-p", folder, "-e", folder / "error.log", "-c", whole], folder, port):
        yield Front(folder, port, tls=True)


@contextlib.contextmanager
def caddy(folder, upstream):
    """Run Caddy in front of the port *upstream*, without TLS; the file is ours, letter by letter."""
    binary, port = program("caddy"), free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "STIBGATE_SITE": f"http://hooks.example.com:{port}",
        "STIBGATE_UPSTREAM": f"127.0.0.1:{upstream}",
    }
    words = [binary, "run", "--config", DEPLOY / "caddy/Caddyfile", "--adapter", "caddyfile"]
    with running(words, folder, port, env=env):
        yield Front(folder, port, tls=False)


class Upstream:
    """A server that reads whole requests, keeps them, and answers or hangs up."""

    def __init__(self, port, answer):
        self.seen = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self):
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return
            with taken:
                taken.settimeout(PATIENCE_S)
                data = b""
                while b"\r\n\r\n" not in data and (more := taken.recv(65536)):
                    data += more
                head, _, body = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:])
                while len(body) < int(headers.get("content-length", 0)) and (more := taken.recv(65536)):
                    body += more
                if data:
                    self.seen.append((lines[0], headers))
                if self._answer:
                    taken.sendall(self._answer)
