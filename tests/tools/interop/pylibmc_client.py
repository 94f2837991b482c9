"""Tests pylibmc, which uses libmemcached, against a server on 127.0.0.1, including the exptimes that it sends for negative
ones. The first argument is the port; the second is 1 for binary or 0 for text."""

import sys

import pylibmc

binary = sys.argv[2] == "1"
client = pylibmc.Client(["127.0.0.1:" + sys.argv[1]], binary=binary, behaviors={"cas": True, "no_block": False})
prefix = "pylibmc-%d-" % binary
key = prefix + "key"



def fails(call, *arguments):
    """Returns true if the condition of a write does not hold. In binary, some calls report that as an error."""
    try:
        return not call(*arguments)
    except pylibmc.NotFound:
        return True


# Values of several kinds.
for value in ["text", b"bytes\0\r\n", 17, [1, {"two": 3}], None, ""]:
    assert client.set(key, value) and client.get(key) == value, value
assert client.get(prefix + "missing") is None
big = b"\r\n" * 300000
assert client.set(key, big) and client.get(key) == big

# Conditions and numbers.
assert fails(client.add, key, "x") and client.add(prefix + "added", "x")
assert client.replace(key, "one") and fails(client.replace, prefix + "missing", "x")
value, version = client.gets(key)
assert value == "one" and client.cas(key, "two", version) and fails(client.cas, key, "three", version)
assert client.set(prefix + "n", 10) and client.incr(prefix + "n") == 11 and client.decr(prefix + "n", 4) == 7

# Batches.
pairs = {prefix + "many-%d" % n: "value %d" % n for n in range(50)}
assert client.set_multi(pairs) == [] and client.get_multi(list(pairs)) == pairs
assert client.delete_multi(list(pairs)) and client.get_multi(list(pairs)) == {}

# A negative exptime is sent as an unsigned 32-bit number: the lifetime of the pair has ended.
NEGATIVE = [-1, -2, -30 * 24 * 60 * 60]
for exptime in NEGATIVE:
    assert client.set(key, "old")
    client.set(key, "gone", time=exptime)
    assert client.get(key) is None, "set, exptime %d" % exptime
    client.add(key, "gone", time=exptime)
    assert client.get(key) is None, "add, exptime %d" % exptime
    assert client.set(key, "old")
    client.replace(key, "gone", time=exptime)
    assert client.get(key) is None, "replace, exptime %d" % exptime
    client.set_multi({key: "gone"}, time=exptime)
    assert client.get(key) is None, "set_multi, exptime %d" % exptime
    assert client.set(key, "old")
    client.touch(key, exptime)
    assert client.get(key) is None, "touch, exptime %d" % exptime
for exptime in [0, 100, 30 * 24 * 60 * 60]:
    assert client.set(key, "here", time=exptime) and client.get(key) == "here", "exptime %d" % exptime
    assert client.touch(key, exptime) and client.get(key) == "here", "touch, exptime %d" % exptime

# Statistics for monitoring.
(_, stats), = client.get_stats()
stats = {str(name): value for name, value in stats.items()}
version = stats["version"]
assert (version.decode() if isinstance(version, bytes) else version) == "1.6.45", version
assert int(stats["limit_maxbytes"]) > 0, stats["limit_maxbytes"]

print("values, conditions, many at once, negative exptimes, statistics")
