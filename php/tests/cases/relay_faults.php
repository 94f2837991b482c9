<?php

/*
 * The memcached dialect through a connection that breaks, stalls, trickles and carries foreign bytes.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/session.php';

use Sharedance\Client;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\SessionHandler;

const DATA = 'a:1:{s:1:"n";i:41;}';
const CHANGED = 'a:1:{s:1:"n";i:42;}';

function direct()
{
    return new Client(server_settings());
}

/** A client with an open connection through the relay that has been used. */
function used(array $more = [])
{
    relay('pass');
    new_request();
    $client = new Client(relay_settings($more));
    $client->get('nothing');
    return $client;
}

function planted()
{
    $id = fresh_id();
    direct()->set('sess-' . $id, DATA);
    return $id;
}

function connections()
{
    return (int) mock_command('connections');
}

test('a kept connection that has ended is replaced, for requests that may be repeated', function () {
    direct()->set('relay-a', 'value');
    $client = used();
    mock_command('drop');
    same('value', $client->get('relay-a'));
    mock_command('drop');
    same(true, $client->set('relay-a', 'new'));
    mock_command('drop');
    same(['relay-a' => 'new'], $client->getMultiple(['relay-a', 'relay-none']));
});

test('a request is repeated if its response is truncated anywhere, where that is safe', function () {
    direct()->set('relay-b', 'value');
    $len = strlen("VA 5\r\nvalue\r\n");
    for ($n = 0; $n < $len; $n++) {
        $client = used();
        relay("cut $n");
        same('value', $client->get('relay-b'), "cut after $n bytes");
    }
});

test('a request that must not be executed twice is not repeated, wherever the response is truncated', function () {
    for ($n = 0; $n < 4; $n++) {
        direct()->set('relay-c', '10');
        $client = used();
        relay("cut $n");
        throws(ConnectionLost::class, function () use ($client) {
            $client->increment('relay-c');
        });
        same('11', direct()->get('relay-c'), "cut after $n bytes");
    }
});

test('a connection that is lost twice is a failure', function () {
    $client = used();
    relay('always-cut 0');
    throws(ConnectionLost::class, function () use ($client) {
        $client->get('relay-a');
    });
});

test('foreign bytes before a response are a failure, and the connection is not used again', function () {
    direct()->set('relay-d', 'mine');
    foreach (["VA 6\r\nothers\r\n", "HD\r\n", "EN\r\n", "\r\n", 'x', "STORED\r\n", "VA 4\r\n"] as $foreign) {
        $client = used();
        $before = connections();
        relay('before ' . bin2hex($foreign));
        try {
            $value = $client->get('relay-d');
            // The bytes of another response cannot be distinguished from this one, but the surplus bytes are detected.
            throw new Failed('believed ' . shown($value));
        } catch (SharedanceException $failure) {
            holds(strpos((string) $failure, 'others') === false, 'a value is in the exception');
        }
        same('mine', $client->get('relay-d'), 'on a new connection');
        same($before + 1, connections());
    }
});

test('a server that hangs, anywhere in a response, causes a timeout', function () {
    direct()->set('relay-e', 'value');
    foreach ([0, 1, 8] as $n) {
        $client = used(['timeout' => 0.2]);
        relay("stall $n");
        waits_about(0.2, seconds(function () use ($client) {
            throws(TimedOut::class, function () use ($client) {
                $client->get('relay-e');
            });
        }));
    }
});

test('a timeout opens the circuit breaker: the next request of the worker does not wait', function () {
    $client = used(['timeout' => 0.2]);
    relay('stall 0');
    throws(TimedOut::class, function () use ($client) {
        $client->get('relay-e');
    });
    new_request(false);
    throws(CannotConnect::class, function () {
        (new Client(relay_settings()))->get('relay-e');
    });
});

test('a server that trickles', function () {
    direct()->set('relay-f', str_repeat('x', 2000));
    $client = used(['timeout' => 0.3]);
    relay('pieces 1 20');
    waits_about(0.3, seconds(function () use ($client) {
        throws(TimedOut::class, function () use ($client) {
            $client->get('relay-f');
        });
    }));
    $client = used();
    relay('pieces 1 0');
    same(str_repeat('x', 2000), $client->get('relay-f'), 'in pieces, but fast enough');
});

native_test('a server that does not read causes a timeout', function () {
    $client = used(['timeout' => 0.3]);
    relay('deaf 100');
    throws(TimedOut::class, function () use ($client) {
        $client->set('relay-g', str_repeat('x', 20000000));
    });
    same(null, direct()->get('relay-g'), 'a part of a request');
});

native_test('signals do not make a wait longer', function () {
    if (!function_exists('pcntl_signal')) {
        return;
    }
    $client = used(['timeout' => 1.5]);
    relay('stall 0');
    pcntl_signal(SIGUSR2, function () {
    });
    // Several signals in each wait, for at most half a minute: a signal handler of PHP runs only when the wait is over.
    $signals = 'exec 2>/dev/null; for i in $(seq 100); do kill -USR2 ' . getmypid() . ' || exit; sleep 0.3; done';
    $process = proc_open($signals, [], $pipes);
    try {
        $took = seconds(function () use ($client) {
            throws(TimedOut::class, function () use ($client) {
                $client->get('relay-e');
            });
        });
    } finally {
        proc_terminate($process, 9);
        proc_close($process);
        pcntl_signal(SIGUSR2, SIG_IGN);
    }
    holds($took < 15, "took $took s instead of 1.5");
});

test('a session: the start is repeated wherever its response is truncated', function () {
    $id = planted();
    $len = strlen("MN\r\nLOCKED\r\nVA 19 c12345678\r\n" . DATA . "\r\n");
    for ($n = 0; $n < $len; $n++) {
        used();
        relay("cut $n");
        $page = new SessionHandler(relay_settings());
        same(DATA, $page->read($id), "cut after $n bytes");
        $page->close();
    }
});

test('a session: a change is stored once, wherever the response is truncated', function () {
    for ($n = 0; $n < strlen("HD c12345678\r\nUNLOCKED\r\n"); $n++) {
        $id = planted();
        used();
        $page = new SessionHandler(relay_settings());
        same(DATA, $page->read($id));
        relay("cut $n");
        same(true, $page->write($id, CHANGED), "cut after $n bytes");
        same(CHANGED, direct()->get('sess-' . $id));
    }
});

test('a session: a connection that is lost within the page loses nothing', function () {
    $id = planted();
    used();
    $page = new SessionHandler(relay_settings());
    same(DATA, $page->read($id));
    mock_command('drop');
    same(true, $page->write($id, CHANGED));
    same(CHANGED, direct()->get('sess-' . $id));
});

test('a session: a connection that is lost, and another page was faster', function () {
    $id = planted();
    used();
    $page = new SessionHandler(relay_settings());
    same(DATA, $page->read($id));
    mock_command('drop');
    direct()->set('sess-' . $id, 'other');
    same(1, count(warnings(function () use ($page, $id) {
        same(false, $page->write($id, CHANGED));
    })));
    same('other', direct()->get('sess-' . $id));
});

test('a session: a server that hangs is detected by the timeout, not by the wait for the lock', function () {
    $id = planted();
    used();
    relay('stall 0');
    $page = new SessionHandler(relay_settings(['timeout' => 0.2, 'lock_wait' => 30]));
    waits_about(0.2, seconds(function () use ($page, $id) {
        same(1, count(warnings(function () use ($page, $id) {
            same(false, $page->read($id));
        })));
    }));
});

test('a session: foreign bytes are never shown to a visitor', function () {
    $id = planted();
    $foreign = ["VA 6 c99\r\nothers\r\n", "LOCKED\r\nVA 6 c99\r\nothers\r\n", "MN\r\nLOCKED\r\nVA 6 c99\r\nothers\r\n", 'x'];
    foreach ($foreign as $bytes) {
        used();
        relay('before ' . bin2hex($bytes));
        $page = new SessionHandler(relay_settings());
        $warned = warnings(function () use ($page, $id, &$data) {
            $data = $page->read($id);
        });
        same(false, $data, shown($bytes));
        same(1, count($warned), implode(' | ', $warned));
        $page->close();
    }
});

test('a connection of an earlier request is not used before it has confirmed the nonce', function () {
    direct()->set('relay-h', 'mine');
    foreach (["VA 6\r\nothers\r\n", "UNLOCKED 0 0123456789abcdef\r\nVA 6\r\nothers\r\n", 'x'] as $foreign) {
        used();
        new_request(false);
        relay('before ' . bin2hex($foreign));
        same('mine', (new Client(relay_settings()))->get('relay-h'), shown($foreign));
    }
});

native_test('a connection of an earlier request that has ended is replaced, for every request', function () {
    direct()->set('relay-i', '1');
    used();
    new_request(false);
    mock_command('drop');
    same(2, (new Client(relay_settings()))->increment('relay-i'));
});

native_test('a connection whose confirmation is lost is replaced before a non-repeatable request is sent', function () {
    direct()->set('relay-j', '1');
    used();
    new_request(false);
    relay('cut 5');
    same(2, (new Client(relay_settings()))->increment('relay-j'));
    same('2', direct()->get('relay-j'));
});

over();
