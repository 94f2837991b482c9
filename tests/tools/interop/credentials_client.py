"""Tests how pylibmc (SASL) and pymemcache (text) send credentials to a server on 127.0.0.1. The first argument is the port;
the second is the client. The server has the users web:password and app1:password:prefix=app1-."""

import sys

port, name = int(sys.argv[1]), sys.argv[2]
address = "127.0.0.1:%d" % port


def pylibmc_client():
    import pylibmc

    def connect(user, password):
        return pylibmc.Client([address], binary=True, username=user, password=password)

    def fails(call, *arguments):
        try:
            return not call(*arguments)
        except pylibmc.Error as error:
            print(type(error).__name__, error)
            return True

    client = connect("web", "password")
    assert client.set("key", "value") and client.get("key") == "value"
    many = {"key-%d" % n: n for n in range(20)}
    assert client.set_multi(many) == [] and client.get_multi(list(many)) == many

    client = connect("app1", "password")
    assert client.set("app1-key", 7) and client.incr("app1-key") == 8
    # The connection continues after a refusal.
    assert fails(client.set, "key", "changed")
    assert client.get("app1-key") == 8
    assert fails(client.get, "key")
    assert connect("web", "password").get("key") == "value"

    assert fails(connect("web", "wrong").set, "key", "changed")
    assert fails(connect("other", "password").set, "key", "changed")
    assert fails(pylibmc.Client([address], binary=True).set, "key", "changed")
    assert connect("web", "password").get("key") == "value"


def pymemcache_client():
    from pymemcache.client.base import Client
    from pymemcache.exceptions import MemcacheClientError

    class WithCredentials(Client):
        """Sends the credentials as the first command of each connection."""

        credentials = b"web password"

        def _connect(self):
            super()._connect()
            self.set("auth", self.credentials, noreply=False)

    def fails(call, *arguments, **options):
        try:
            call(*arguments, **options)
            return False
        except (MemcacheClientError, ConnectionError, OSError) as error:
            print(type(error).__name__, error)
            return True

    client = WithCredentials(("127.0.0.1", port), default_noreply=False, timeout=30)
    assert client.set("key", b"value") and client.get("key") == b"value"
    client.close()
    assert client.get("key") == b"value", "it logs in again"

    client = WithCredentials(("127.0.0.1", port), default_noreply=False, timeout=30)
    client.credentials = b"app1 password"
    assert client.set("app1-key", b"value") and fails(client.set, "key", b"changed")
    assert client.get("app1-key") == b"value" and fails(client.get_many, ["app1-key", "key"])
    assert client.get("app1-key") == b"value"

    client = WithCredentials(("127.0.0.1", port), default_noreply=False, timeout=30)
    client.credentials = b"web wrong"
    assert fails(client.get, "key")
    assert fails(Client(("127.0.0.1", port), timeout=30).get, "key")


{"pylibmc": pylibmc_client, "pymemcache": pymemcache_client}[name]()
print("right, wrong and missing credentials, and keys without the prefix")
