<?php

/*
 * The operations of Client in the memcached dialect.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

use Sharedance\Client;
use Sharedance\Exception\InvalidArgument;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\Unsupported;

function client(array $more = [])
{
    return new Client(server_settings($more));
}

/** The remaining TTL of a pair in seconds, -1 if it never expires, null if there is no pair. */
function ttl($key)
{
    $server = stream_socket_client('tcp://127.0.0.1:' . setting('SERVER_PORT'));
    fwrite($server, "mg $key t\r\n");
    return preg_match('/^HD t(-?\d+)/', (string) fgets($server), $found) ? (int) $found[1] : null;
}

function lives_about($secs, $key)
{
    $ttl = ttl($key);
    holds($ttl !== null && abs($ttl - $secs) <= 5, shown($ttl) . " s left instead of $secs");
}

test('get, set, add, replace, delete', function () {
    $client = client();
    same(null, $client->get('op-a'));
    same(false, $client->replace('op-a', 'x'));
    same(true, $client->add('op-a', 'first'));
    same(false, $client->add('op-a', 'second'));
    same('first', $client->get('op-a'));
    same(true, $client->replace('op-a', 'third'));
    same(true, $client->set('op-a', 4));
    same('4', $client->get('op-a'));
    same(true, $client->set('op-a', ''));
    same('', $client->get('op-a'), 'an empty value is one');
    same(null, $client->fetch('op-a'), 'but not to fetch(), as ever');
    same(true, $client->delete('op-a'));
    same(false, $client->delete('op-a'));
});

test('any key and any value', function () {
    $bytes = implode('', array_map('chr', range(0, 255)));
    foreach (['a/b.c', 'with a space', "\0\r\n", "caf\xc3\xa9", substr($bytes, 0, 186), substr($bytes, 128), '0', 42] as $key) {
        same(true, client()->set($key, $bytes . "\r\nEN\r\n"));
        same($bytes . "\r\nEN\r\n", client()->get($key));
        same([$key => $bytes . "\r\nEN\r\n"], client()->getMultiple([$key]));
        same(true, client()->touch($key, 10));
        same(true, client()->delete($key));
    }
});

test('a change is bound to a version', function () {
    $client = client();
    same(null, $client->gets('op-b'));
    $client->set('op-b', 'secret');
    $found = $client->gets('op-b');
    same('secret', $found->value);
    holds(is_string($found->version) && preg_match('/^[1-9][0-9]*$/D', $found->version), shown($found->version));
    same(true, $client->cas('op-b', 'two', $found->version));
    same(false, $client->cas('op-b', 'three', $found->version));
    same('two', $client->get('op-b'));
    $client->delete('op-b');
    same(false, $client->cas('op-b', 'three', $found->version), 'it is gone');
    holds(strpos(print_r($found, true), 'secret') === false, 'the value is in a dump');
});

test('append and prepend', function () {
    $client = client();
    same(false, $client->append('op-c', 'x'));
    same(false, $client->prepend('op-c', 'x'));
    $client->set('op-c', 'b', 100);
    same(true, $client->append('op-c', 'c'));
    same(true, $client->prepend('op-c', 'a'));
    same('abc', $client->get('op-c'));
    lives_about(100, 'op-c');
    $client->delete('op-c');
});

test('counters', function () {
    $client = client();
    same(null, $client->increment('op-d'));
    same(5, $client->increment('op-d', 1, 5, 100));
    lives_about(100, 'op-d');
    same(15, $client->increment('op-d', 10, 5, 1000));
    lives_about(100, 'op-d');
    same(14, $client->decrement('op-d'));
    same(0, $client->decrement('op-d', 1000));
    $client->set('op-d', '18446744073709551614');
    same(18446744073709551615.0, $client->increment('op-d'), 'more than an integer holds');
    same(0, $client->increment('op-d'), 'it wraps');
    $client->set('op-d', 'no number');
    throws(Refused::class, function () use ($client) {
        $client->increment('op-d');
    });
    same('no number', $client->get('op-d'));
    $client->delete('op-d');
});

test('a TTL on every write: seconds, a DateInterval, the setting, never, and already expired', function () {
    $ttls = [
        [50, 50], [new DateInterval('PT2M'), 120], [null, 1800], [0, -1], [-1, null], [3000000, 3000000],
        [new DateInterval('P40D'), 3456000],
    ];
    foreach ($ttls as list($ttl, $expected)) {
        $writes = [
            'set' => function (Client $client) use ($ttl) {
                $client->set('op-e', 'v', $ttl);
            },
            'add' => function (Client $client) use ($ttl) {
                $client->add('op-e', 'v', $ttl);
            },
            'replace' => function (Client $client) use ($ttl) {
                $client->set('op-e', 'v', 7);
                $client->replace('op-e', 'v', $ttl);
            },
            'cas' => function (Client $client) use ($ttl) {
                $client->set('op-e', 'v', 7);
                $client->cas('op-e', 'w', $client->gets('op-e')->version, $ttl);
            },
            'touch' => function (Client $client) use ($ttl) {
                $client->set('op-e', 'v', 7);
                $client->touch('op-e', $ttl);
            },
            'setMultiple' => function (Client $client) use ($ttl) {
                $client->setMultiple(['op-e' => 'v'], $ttl);
            },
            'increment' => function (Client $client) use ($ttl) {
                $client->increment('op-e', 1, 1, $ttl);
            },
        ];
        if ($ttl !== null) {
            $writes['store'] = function (Client $client) use ($ttl) {
                $client->store('op-e', 'v', $ttl);
            };
        }
        foreach ($writes as $name => $write) {
            client()->delete('op-e');
            $write(client());
            $expected === null ? same(null, ttl('op-e'), $name) : lives_about($expected, 'op-e');
        }
    }
    client(['ttl' => '1h'])->set('op-e', 'v');
    lives_about(3600, 'op-e');
    client(['ttl' => '1h'])->store('op-e', 'v');
    lives_about(3600, 'op-e');
    client()->delete('op-e');
});

test('many keys at once', function () {
    $pairs = [];
    for ($i = 0; $i < 1000; $i++) {
        $pairs["op-f-$i"] = str_repeat((string) $i, 1 + $i % 700);
    }
    same(true, client()->setMultiple($pairs));
    same([], array_diff_assoc($pairs, client()->getMultiple(array_keys($pairs))));
    same(['op-f-1' => '11'], client()->getMultiple(['op-f-none', 'op-f-1']));
    same([], client()->getMultiple([]));
    same(true, client()->setMultiple([]));
    same(1000, client()->deleteMultiple(array_keys($pairs + ['op-f-none' => ''])));
    same(true, client()->setMultiple(['7' => 'a numeric key']));
    same([7 => 'a numeric key'], client()->getMultiple(['7']));
    same(1, client()->deleteMultiple([7]));
});

test('a lock has one holder, is released in any case, and the wait has a timeout', function () {
    $mine = client();
    $theirs = client(['persistent' => false]);
    $lock = $mine->lock('op-g');
    same(true, $lock->isHeld());
    $failure = throws(LockTimedOut::class, function () use ($theirs) {
        $theirs->lock('op-g', null, 0.1);
    });
    holds(strpos($failure->getMessage(), 'op-g') === false, 'the key is in the message');
    same(true, $lock->release());
    same(false, $lock->release());
    same(false, $lock->isHeld());
    same(7, $theirs->lock('op-g', function ($lock) use ($mine) {
        same(true, $lock->isHeld());
        throws(LockTimedOut::class, function () use ($mine) {
            $mine->lock('op-g', null, 0);
        });
        return 7;
    }));
    throws(DomainException::class, function () use ($theirs) {
        $theirs->lock('op-g', function () {
            throw new DomainException('from the work');
        });
    });
    $lock = $mine->lock('op-g', null, 0);
    unset($lock);
    same(true, $theirs->lock('op-g', null, 0)->release(), 'a lock ends with its object');
});

test('wrong arguments are exceptions of the library, and nothing is sent', function () {
    $unreachable = new Client(['host' => '127.0.0.1', 'port' => setting('MOCK_REFUSED'), 'protocol' => 'memcached']);
    $keys = ['', str_repeat('k', 251), str_repeat(" ", 187), null, 1.5, true, ['secret'], new stdClass()];
    foreach ($keys as $key) {
        throws(InvalidKey::class, function () use ($unreachable, $key) {
            $unreachable->get($key);
        });
    }
    $wrong = [
        function (Client $client) {
            $client->set('k', ['secret']);
        },
        function (Client $client) {
            $client->set('k', null);
        },
        function (Client $client) {
            $client->store('k', 1.5);
        },
        function (Client $client) {
            $client->setMultiple(['k' => new stdClass()]);
        },
        function (Client $client) {
            $client->set('k', 'v', '60');
        },
        function (Client $client) {
            $client->touch('k', 1.5);
        },
        function (Client $client) {
            $client->cas('k', 'v', '0');
        },
        function (Client $client) {
            $client->increment('k', -1);
        },
        function (Client $client) {
            $client->increment('k', 1, 'many');
        },
        function (Client $client) {
            $client->lock('k', 'no_such_function');
        },
        function (Client $client) {
            $client->lock('k', null, -1);
        },
    ];
    foreach ($wrong as $call) {
        $failure = throws(InvalidArgument::class, function () use ($call, $unreachable) {
            $call($unreachable);
        });
        holds(strpos((string) $failure, 'secret') === false, 'the value is in the exception');
    }
    throws(InvalidKey::class, function () use ($unreachable) {
        $unreachable->lock('with a space');
    });
    throws(TooLarge::class, function () {
        (new Client(['port' => setting('MOCK_REFUSED'), 'protocol' => 'memcached', 'max_size' => 100]))->set('k', str_repeat('v', 100));
    });
});

test('a value that the server refuses as too large causes one exception, and the connection is kept', function () {
    $client = client(['max_size' => 100000000]);
    throws(TooLarge::class, function () use ($client) {
        $client->set('op-h', str_repeat('v', 34000000));
    });
    same(null, $client->get('op-h'));
});

test('each of several servers is asked for its own keys', function () {
    $settings = server_settings(['servers' => [
        '127.0.0.1:' . setting('SERVER_PORT'),
        'localhost:' . setting('SERVER_PORT'),
    ]]);
    unset($settings['host'], $settings['port']);
    $pairs = [];
    for ($i = 0; $i < 50; $i++) {
        $pairs["op-i-$i"] = "v$i";
    }
    same(true, (new Client($settings))->setMultiple($pairs));
    $found = (new Client($settings))->getMultiple(array_keys($pairs));
    ksort($found);
    ksort($pairs);
    same($pairs, $found);
    same(50, (new Client($settings))->deleteMultiple(array_keys($pairs)));
});

test('flush', function () {
    client()->set('op-j', 'v');
    same(true, client()->flush());
    same(null, client()->get('op-j'));
});

// The mock is a server of the first generation: it closes a connection that begins with another dialect.
test('a server of the first generation is detected, once for the life of a worker', function () {
    $settings = mock_settings(['protocol' => 'auto']);
    mock_play('serve');
    new_request();
    $client = new Client($settings);
    same(true, $client->set('first', 'generation'));
    same('generation', $client->get('first'));
    same(true, $client->delete('first'));
    same(5, count(mock_requests()), 'two requests find out, and each of the others is one');
    new_request(IS_WASM);
    mock_play('serve');
    same(null, (new Client($settings))->get('first'));
    same(IS_WASM ? 3 : 1, count(mock_requests()), 'the next request of the worker');
    foreach (['gets', 'increment', 'touch', 'lock', 'append'] as $method) {
        throws(Unsupported::class, function () use ($client, $method) {
            $method === 'append' ? $client->append('k', 'v') : $client->$method('k');
        });
    }
    throws(Unsupported::class, function () use ($client) {
        $client->set('k', 'v', 60);
    });
});

native_test('a server that dies is not mistaken for one of the first generation', function () {
    relay('always-cut 0');
    new_request();
    $settings = relay_settings();
    throws(SharedanceException::class, function () use ($settings) {
        (new Client($settings))->get('k');
    });
    relay('pass');
    same(null, (new Client($settings))->gets('op-none'));
});

over();
