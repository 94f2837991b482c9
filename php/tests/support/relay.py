"""A relay to a real server that disturbs the connections through it, for the tests of the PHP library.

Acts; N counts from the command. An act disturbs the first possible connection, once; the others are only forwarded:
    pass                 disturbs nothing
    cut N                passes the first N bytes of responses, then closes the connection
    reset N              the same, with a reset
    stall N              passes the first N bytes of responses, and no further bytes; the connection stays open
    deaf N               passes the first N bytes of requests, and stops reading until the next act
    before HEX           sends these bytes before the next response
    always-cut N         cuts every connection
    pieces N MS          N bytes of responses at a time, with pauses between; not only once
"""
import select
import socket
import struct
import threading
import time


class Relay:
    COMMANDS = ("upstream", "relay", "stalled", "drop", "connections")

    def __init__(self):
        self.lock = threading.Lock()
        self.port = None
        self.act = ["pass"]
        self.left = 0
        self.owner = None
        self.stalled = threading.Event()
        self.resumed = threading.Event()
        self.live = []
        self.accepted = 0

    def command(self, words):
        name, args = words[0], words[1:]
        if name == "stalled":
            return "yes" if self.stalled.is_set() else "no"
        with self.lock:
            if name == "upstream":
                self.port = int(args[0])
            elif name == "relay":
                self.act, self.owner = args, None
                self.left = int(args[1]) if args[0] in ("cut", "reset", "stall", "deaf") else 0
                self.resumed.set()
                self.stalled.clear()
            elif name == "connections":
                return str(self.accepted)
            else:
                for pair in self.live:
                    self.close(pair)
                self.live.clear()
        return "ok"

    def accept_on(self, port):
        while True:
            client, _ = port.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            for conn in (client, server):
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self.lock:
                self.live.append(pair)
                self.accepted += 1
            for forward in (self.requests, self.responses):
                threading.Thread(target=self.run, args=(forward, pair), daemon=True).start()

    def run(self, forward, pair):
        try:
            forward(*pair)
        except OSError:
            pass
        self.close(pair)

    def requests(self, client, server):
        while data := client.recv(1 << 16):
            passing, is_deaf = self.take(client, data, ("deaf",))
            server.sendall(passing)
            if is_deaf:
                self.resumed.wait()
                server.sendall(data[len(passing):])

    def responses(self, client, server):
        while data := server.recv(1 << 16):
            act = self.act
            if act[0] == "pieces":
                step = int(act[1])
                for i in range(0, len(data), step):
                    client.sendall(data[i:i + step])
                    time.sleep(int(act[2]) / 1000)
                continue
            if act[0] == "always-cut":
                client.sendall(data[:int(act[1])])
                return
            if act[0] == "before":
                data = bytes.fromhex(act[1]) + data
                self.act = ["pass"]
            data, is_over = self.take(client, data, ("cut", "reset", "stall"))
            client.sendall(data)
            if is_over and act[0] == "stall":
                self.wait_for_end(client)
                return
            if is_over:
                if act[0] == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.shutdown(socket.SHUT_RD)  # wakes the other thread
                    client.close()
                return

    def take(self, client, data, kinds):
        """What passes of the data, and whether the act takes place behind it."""
        with self.lock:
            if self.act[0] not in kinds or self.owner not in (None, client):
                return data, False
            self.owner = client
            passing = data[:self.left]
            self.left -= len(passing)
            if len(passing) == len(data):
                return data, False
            if self.act[0] in ("stall", "deaf"):
                self.resumed.clear()
                self.stalled.set()
            self.act = ["pass"]
            return passing, True

    @staticmethod
    def wait_for_end(client):
        """Without reading from it. The other thread may have closed it."""
        descriptor = client.fileno()
        if descriptor >= 0:
            poll = select.poll()
            poll.register(descriptor, select.POLLRDHUP)
            poll.poll()

    @staticmethod
    def close(pair):
        for conn in pair:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            conn.close()
