"""Tests pymemcache, which uses the text dialect, against a server on 127.0.0.1.

The arguments are the port and, for a connection by TLS, the file with the certificate of the authority.
"""

import ssl
import sys
import threading

from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

address = ("127.0.0.1", int(sys.argv[1]))
tls_context = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
options = {"default_noreply": False, "timeout": 30, "tls_context": tls_context}
client = Client(address, **options)

# Values and flags.
assert client.set("key", b"value") is True
assert client.get("key") == b"value"
assert client.get("missing") is None and client.get("missing", "default") == "default"
assert client.set("empty", b"") and client.get("empty") == b""
every_byte = bytes(range(256)) * 4096
assert client.set("every byte".replace(" ", "-"), every_byte, flags=0xFFFFFFFF)
assert client.get("every-byte") == every_byte

# Conditions.
assert client.add("key", b"x") is False and client.add("added", b"x") is True
assert client.replace("missing", b"x") is False and client.replace("key", b"one") is True
assert client.append("key", b"!") and client.prepend("key", b"?") and client.get("key") == b"?one!"
value, version = client.gets("key")
assert value == b"?one!"
assert client.cas("key", b"two", version) is True
assert client.cas("key", b"three", version) is False
assert client.cas("missing", b"three", version) is None

# Numbers.
client.set("number", b"41")
assert client.incr("number", 1) == 42 and client.decr("number", 100) == 0
assert client.incr("missing", 1) is None
try:
    client.incr("key", 1)
    raise AssertionError("a value that is not a number was incremented")
except MemcacheClientError:
    pass

# Lifetimes.
assert client.touch("key", 1000) is True and client.touch("missing", 1000) is False
if hasattr(client, "gat"):
    assert client.gat("key", 1000) == b"two"
assert client.set("gone", b"x", expire=-1) and client.get("gone") is None

# Batches, and commands without a response.
many = {"many-%d" % n: b"value %d" % n for n in range(1000)}
assert client.set_many(many) == []
assert client.get_many(list(many) + ["missing"]) == many
assert len(client.gets_many(list(many))) == 1000
assert client.delete_many(list(many), noreply=True) is True
assert client.get_many(list(many)) == {}
client.set("quiet", b"x", noreply=True)
assert client.get("quiet") == b"x"
assert client.delete("quiet") is True and client.delete("quiet") is False

# A value that is too large is refused, and the connection stays open.
try:
    client.set("key", b"x" * (40 << 20))
    raise AssertionError("a value of 40 MiB was stored")
except MemcacheServerError:
    pass
assert client.get("key") is None, "the old value was not deleted"

# Statistics.
stats = client.stats()
assert stats[b"pid"] and stats[b"curr_items"] > 0 and stats[b"cmd_set"] > 0 and stats[b"cas_badval"] > 0
assert client.stats("settings")[b"item_size_max"] > 1 << 20
assert client.version() == b"1.6.45"

# Several threads with a connection pool lose no update.
pool = PooledClient(address, max_pool_size=8, **options)
pool.set("sum", b"0")
threads = [threading.Thread(target=lambda: [pool.incr("sum", 1) for _ in range(200)]) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert pool.get("sum") == b"1600", pool.get("sum")

assert client.flush_all() and client.get("sum") is None
client.quit()
print("all checks passed")
