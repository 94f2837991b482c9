"""What the tools that run sharedanced for a test share."""

import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

# Ample for a slow machine: everything is waited for, and nothing is expected at a time.
PATIENCE_SECS = 120


def fail(message):
    sys.exit(f"{sys.argv[0]}: {message}")


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE_SECS
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    fail(f"timed out waiting for {what}")


def fetch(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode(), response.headers["Content-Type"]


class Server:
    """A server with its status listener, both on ports that the kernel chooses."""

    def __init__(self, program, scratch, name, *options, before=()):
        self.log = scratch / f"{name}.log"
        directory = scratch / name
        command = [*before, program, "--ip=127.0.0.1", "--port=0", "--status=127.0.0.1:0", f"--directory={directory}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *options], stderr=log, stdin=subprocess.DEVNULL)
        line = wait_for(f"the server {name}", self.start_line)
        self.status = re.search(r"status on http://([^/]+)/", line)[1]
        self.port = int(re.search(r"listening on .*?:(\d+)$", line)[1])

    def start_line(self):
        if self.process.poll() is not None:
            fail(f"a server has ended:\n{self.log.read_text()}")
        return next((line for line in self.log.read_text().splitlines() if "listening on" in line), None)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return connection

    def set(self, connection, key, length):
        connection.sendall(b"set %s 0 3600 %d\r\n%s\r\n" % (key, length, bytes(length)))
        return connection.recv(4096)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
