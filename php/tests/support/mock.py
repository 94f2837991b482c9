#!/usr/bin/env python3
"""A server that misbehaves on request, for the tests of the PHP library.

mock.py FOLDER

It speaks the classic dialect, as a server of the first generation, on its `actor` port. Each connection executes the act
that was requested through the `control` port. Stored pairs are kept in memory. The program prints its ports as
NAME=PORT on one line, and ends when its stdin is closed. More ports: `tls` is the same with FOLDER/tls.pem and
FOLDER/tls.key, and so is the unix socket FOLDER/mock.sock; `refused` has no listener; `full` has a full backlog, so that
connecting hangs.

The `relay` port forwards to another server, in any dialect, and disturbs the connection on request (see relay.py).

Control: each connection carries one line, and one line as the response.
    play ACT[; ACT...]   the acts of the next connections, one each; the last act is repeated. Forgets earlier requests
    requests             the bytes that each connection since then has received, in hexadecimal, separated by spaces
    put KEY VALUE        stores a pair (hexadecimal)
    get KEY              the value in hexadecimal, or - if there is none

    upstream PORT        the port to which the relay forwards
    relay ACT...         the act of the relay from now on
    stalled              whether the relay has stalled or stopped reading since
    drop                 closes all connections of the relay
    connections          how many connections the relay has accepted

Acts, where A is the correct response to the request:
    serve                A, then the end
    slow MS              A after a pause
    pieces N MS          A, N bytes at a time with pauses between
    cut N                the first N bytes of A, then the end
    reset N              the first N bytes of A, then a connection reset
    say HEX              these bytes instead of A; - for no bytes
    lost                 the request is not executed and has no response, then the end
    leave                only the first byte of the request is read, then the end
    hang                 no response
    deaf                 the request is not read
    close                the connection is closed at once
"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

from relay import Relay

ANY_PORT = ("127.0.0.1", 0)
lock = threading.Lock()
pairs = {}
acts = [["serve"]]
received = []
held = []
relay = Relay()


def listener(backlog):
    s = socket.socket()
    s.bind(ANY_PORT)
    s.listen(backlog)
    return s


def read_exactly(conn, want, got):
    while len(got) < want:
        chunk = conn.recv(min(1 << 16, want - len(got)))
        if not chunk:
            return False
        got += chunk
    return True


def read_request(conn, got):
    """Appends one whole request to `got`; returns (command, key, value), or None if the peer disconnects early."""
    if not read_exactly(conn, 1, got):
        return None
    header_len = 9 if got[:1] == b"S" else 5
    if not read_exactly(conn, header_len, got):
        return None
    key_len = struct.unpack(">I", got[1:5])[0]
    value_len = struct.unpack(">I", got[5:9])[0] if header_len == 9 else 0
    if not read_exactly(conn, header_len + key_len + value_len, got):
        return None
    return bytes(got[:1]), bytes(got[header_len:header_len + key_len]), bytes(got[header_len + key_len:])


def answer(command, key, value):
    with lock:
        if command == b"S":
            pairs[key] = value
            return b"OK\n"
        if command == b"F":
            return pairs.get(key, b"")
        return b"OK\n" if pairs.pop(key, None) is not None else b""


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def perform(conn, act, got):
    name, args = act[0], act[1:]
    if name == "close":
        return
    if name == "deaf":
        held.append(conn)
        return
    if name == "leave":
        got += conn.recv(1)
        conn.close()
        return
    request = read_request(conn, got)
    if name == "hang" or request is None:
        held.append(conn)
        return
    # A request whose response is cut or reset has been executed, as with a server that dies while it responds.
    if name == "lost":
        conn.close()
        return
    reply = bytes.fromhex(args[0].strip("-")) if name == "say" else answer(*request)
    if name == "slow":
        time.sleep(int(args[0]) / 1000)
    if name in ("cut", "reset"):
        reply = reply[:int(args[0])]
    step = int(args[0]) if name == "pieces" else max(1, len(reply))
    for i in range(0, len(reply), step):
        if i:
            time.sleep(int(args[1]) / 1000)
        conn.sendall(reply[i:i + step])
    if name == "reset":
        reset(conn)
    elif isinstance(conn, ssl.SSLSocket):
        conn.unwrap().close()
    else:
        conn.close()


def take_part(conn, tls):
    if tls:
        try:
            conn = tls.wrap_socket(conn, server_side=True)
        except OSError:
            return
    elif acts[0][0] != "close" and conn.recv(1, socket.MSG_PEEK).islower():
        conn.close()  # as a server of the first generation does with another dialect
        return
    with lock:
        act = acts[0] if len(acts) == 1 else acts.pop(0)
        if act[0] == "close":
            conn.close()  # before it is counted, so that a test can wait for it
        got = bytearray()
        received.append(got)
    try:
        perform(conn, act, got)
    except OSError:
        conn.close()


def act_on(port, tls=None):
    while True:
        conn, _ = port.accept()
        threading.Thread(target=take_part, args=(conn, tls), daemon=True).start()


def command(line):
    words = line.split()
    if words[0] in Relay.COMMANDS:
        return relay.command(words)
    with lock:
        if words[0] == "play":
            acts[:] = [a.split() for a in line[len("play"):].split(";")]
            received.clear()
            return "ok"
        if words[0] == "requests":
            return " ".join(bytes(r).hex() or "-" for r in received)
        if words[0] == "put":
            pairs[bytes.fromhex(words[1])] = bytes.fromhex(words[2]) if len(words) > 2 else b""
            return "ok"
        if words[0] == "get":
            value = pairs.get(bytes.fromhex(words[1]))
            return "-" if value is None else "=" + value.hex()
    return "unknown"


def control(port):
    while True:
        conn, _ = port.accept()
        with conn, conn.makefile("rw") as lines:
            line = lines.readline()
            if line.strip():
                lines.write(command(line) + "\n")
                lines.flush()


def full_port():
    port = listener(0)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(port.getsockname())
        held.append(filler)
    return port


def unix_socket(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(64)
    return s


def main():
    folder = sys.argv[1]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.path.join(folder, "tls.pem"), os.path.join(folder, "tls.key"))
    refused = socket.socket()
    refused.bind(ANY_PORT)
    ports = {name: listener(64) for name in ("control", "actor", "tls", "relay")}
    ports.update(full=full_port(), refused=refused)
    for act_port, context in ((ports["actor"], None), (ports["tls"], tls), (unix_socket(folder + "/mock.sock"), None)):
        threading.Thread(target=act_on, args=(act_port, context), daemon=True).start()
    threading.Thread(target=relay.accept_on, args=(ports["relay"],), daemon=True).start()
    threading.Thread(target=control, args=(ports["control"],), daemon=True).start()
    print(" ".join("%s=%d" % (name, s.getsockname()[1]) for name, s in ports.items()), flush=True)
    sys.stdin.buffer.read()


main()
