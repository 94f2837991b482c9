<?php

/*
 * Locks and versions of sessions: the effects of two pages of one visitor on each other. Each page has its own
 * connection, as two workers have.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/session.php';

use Sharedance\Client;
use Sharedance\SessionHandler;

const DATA = 'a:1:{s:1:"n";i:1;}';
const CHANGED = 'a:1:{s:1:"n";i:2;}';
const OTHER = 'a:1:{s:1:"n";i:3;}';

function page(array $more = [])
{
    return new SessionHandler(server_settings($more + ['persistent' => false]));
}

/** A page of the same visitor that does not wait for locks. */
function intruder()
{
    return page(['locking' => false]);
}

function client()
{
    return new Client(server_settings());
}

function stored($id)
{
    return client()->get('sess-' . $id);
}

/** The id of a stored session. */
function planted()
{
    $id = fresh_id();
    client()->set('sess-' . $id, DATA);
    return $id;
}

function is_free($id)
{
    $lock = (new Client(server_settings(['persistent' => false])));
    try {
        return $lock->lock('sess-' . $id, 'is_object', 0);
    } catch (Sharedance\Exception\LockTimedOut $held) {
        return false;
    }
}

function ttl_of($id)
{
    $server = stream_socket_client('tcp://127.0.0.1:' . setting('SERVER_PORT'));
    fwrite($server, 'mg sess-' . $id . " t\r\n");
    $line = fgets($server);
    return preg_match('/^HD t(-?\d+)/', $line, $found) ? (int) $found[1] : null;
}

test('a session is locked from its start to its end, in whatever way it ends', function () {
    $ends = [
        'write' => function ($page, $id) {
            $page->write($id, CHANGED);
        },
        'unchanged' => function ($page, $id) {
            $page->updateTimestamp($id, DATA);
        },
        'destroy' => function ($page, $id) {
            $page->destroy($id);
        },
        'abort' => function ($page) {
            $page->close();
        },
        'another session' => function ($page) {
            $page->read(fresh_id());
        },
        'a write of another session' => function ($page) {
            $page->write(fresh_id(), DATA);
        },
    ];
    foreach ($ends as $name => $end) {
        $id = planted();
        $page = page();
        same(DATA, $page->read($id));
        same(false, is_free($id), "$name: locked");
        $end($page, $id);
        same(true, is_free($id), "$name: released");
        $page->close();
    }
});

test('an unknown id in strict mode leaves no lock', function () {
    $id = fresh_id();
    session_request(server_settings(['persistent' => false]), $id, function () use ($id) {
        same(true, session_start());
        holds(session_id() !== $id, 'the id was accepted');
        same(true, is_free($id));
        same(false, is_free(session_id()), 'the new id is locked');
    }, true);
});

test('the wait for a lock has a timeout: one warning, false, and nothing is changed', function () {
    $id = planted();
    $holder = page();
    same(DATA, $holder->read($id));
    $took = seconds(function () use ($id) {
        $warned = warnings(function () use ($id) {
            session_request(server_settings(['lock_wait' => '300ms', 'persistent' => false]), $id, function () {
                same(PHP_VERSION_ID < 70100, session_start());
            });
        });
        holds(preg_match('/could not read the session on .*another request did not release its lock within 0.3 s/', $warned[0]), $warned[0]);
        same(PHP_VERSION_ID < 70100 ? 2 : 1, count($warned));
    });
    waits_about(0.3, $took);
    same(DATA, stored($id));
    same(true, $holder->write($id, CHANGED), 'the holder is not disturbed');
    same(CHANGED, stored($id));
});

test('with the read-only policy, a page reads the stored session, and cannot change it', function () {
    $id = planted();
    $holder = page();
    same(DATA, $holder->read($id));
    $reader = page(['lock_wait' => 0.1, 'lock_failure' => 'read-only']);
    same(DATA, $reader->read($id));
    same(true, $reader->updateTimestamp($id, DATA), 'an unchanged session');
    same(DATA, $reader->read($id));
    $warned = warnings(function () use ($reader, $id) {
        same(false, $reader->write($id, OTHER));
    });
    same(1, count($warned));
    holds(strpos($warned[0], 'read-only') !== false, $warned[0]);
    same(true, $holder->write($id, CHANGED));
    same(CHANGED, stored($id));
});

test('with locking off, a session is not locked, and the last page wins', function () {
    $id = planted();
    $a = intruder();
    $b = intruder();
    same(DATA, $a->read($id));
    same(DATA, $b->read($id));
    same(true, $b->write($id, CHANGED));
    same(true, $a->write($id, OTHER));
    same(OTHER, stored($id));
});

test('a write after the lock and the session were lost causes one warning, and overwrites nothing', function () {
    foreach (['changed' => OTHER, 'destroyed' => null] as $what => $expected) {
        $id = planted();
        $page = page();
        same(DATA, $page->read($id));
        $expected === null ? intruder()->destroy($id) : client()->set('sess-' . $id, $expected);
        $warned = warnings(function () use ($page, $id) {
            same(false, $page->write($id, CHANGED));
        });
        same(1, count($warned), implode(' | ', $warned));
        holds(strpos($warned[0], $what) !== false, $warned[0]);
        same($expected, stored($id));
        same(true, is_free($id));
    }
});

test('a new session that another page has stored meanwhile is not overwritten', function () {
    $id = fresh_id();
    $page = page();
    same('', $page->read($id));
    client()->set('sess-' . $id, OTHER);
    same(1, count(warnings(function () use ($page, $id) {
        same(false, $page->write($id, CHANGED));
    })));
    same(OTHER, stored($id));
});

test('a page whose lock has expired stores its session if no other page has changed it', function () {
    $id = planted();
    $page = page(['lock_ttl' => 1]);
    same(DATA, $page->read($id));
    holds(eventually(function () use ($id) {
        return is_free($id);
    }), 'the lock does not expire');
    same(true, $page->write($id, CHANGED));
    same(CHANGED, stored($id));
    same(true, is_free($id));
});

test('a page whose lock has expired waits for the new holder, and does not overwrite its change', function () {
    $id = planted();
    $page = page(['lock_ttl' => 1, 'lock_wait' => 0.2]);
    same(DATA, $page->read($id));
    $next = page();
    same(DATA, $next->read($id), 'granted once the lock has expired');
    $warned = warnings(function () use ($page, $id) {
        same(false, $page->write($id, CHANGED));
    });
    same(1, count($warned), implode(' | ', $warned));
    same(DATA, stored($id));
    same(true, $next->write($id, OTHER));
    same(OTHER, stored($id));
});

// The table of the README: how a slow page ends, and what another page has done to its session meanwhile.
test('a logout wins, and no change is undone: every slow page, every other page', function () {
    $others = [
        'destroy' => function ($id) {
            same(true, intruder()->destroy($id));
            return null;
        },
        'regenerate' => function ($id) {
            session_request(server_settings(['persistent' => false, 'locking' => false]), $id, function () {
                same(true, session_start());
                same(true, session_regenerate_id(true));
            });
            return null;
        },
        'change' => function ($id) {
            client()->set('sess-' . $id, OTHER);
            return OTHER;
        },
    ];
    $slow = [
        'unchanged' => [0, function (SessionHandler $page, $id) {
            same(true, $page->updateTimestamp($id, DATA));
        }],
        'unchanged without lazy_write' => [0, function (SessionHandler $page, $id) {
            same(true, $page->write($id, DATA));
        }],
        'changed' => [1, function (SessionHandler $page, $id) {
            same(false, $page->write($id, CHANGED));
        }],
        'aborted' => [0, function (SessionHandler $page) {
            same(true, $page->close());
        }],
        'regenerate, the old one kept' => [1, function (SessionHandler $page, $id) {
            same(false, $page->write($id, CHANGED));
        }],
    ];
    foreach ($others as $otherName => $other) {
        foreach ($slow as $slowName => list($warnings, $end)) {
            $id = planted();
            $page = page();
            same(DATA, $page->read($id));
            $expected = $other($id);
            $warned = warnings(function () use ($end, $page, $id) {
                $end($page, $id);
                $page->close();
            });
            same($warnings, count($warned), "$slowName, $otherName: " . implode(' | ', $warned));
            same($expected, stored($id), "$slowName, $otherName");
        }
    }
});

test('read_and_close extends the TTL of an existing session, and creates none', function () {
    $id = planted();
    client()->touch('sess-' . $id, 100);
    ini_set('session.gc_maxlifetime', '777');
    session_request(server_settings(['persistent' => false]), $id, function () {
        same(true, session_start(['read_and_close' => true]));
        same(['n' => 1], $_SESSION);
    });
    holds(ttl_of($id) > 700, 'TTL ' . ttl_of($id));
    same(true, is_free($id));
    $gone = fresh_id();
    session_request(server_settings(), $gone, function () {
        same(true, session_start(['read_and_close' => true]));
    });
    same(null, stored($gone));
});

test('a session expires session.gc_maxlifetime, or the setting, after its last page', function () {
    ini_set('session.gc_maxlifetime', '777');
    foreach ([[[], 777], [['ttl' => '2h'], 7200]] as list($more, $ttl)) {
        $id = fresh_id();
        session_request(server_settings($more), $id, 'count_in_session');
        holds(abs(ttl_of($id) - $ttl) <= 5, "TTL of a new session " . ttl_of($id));
        client()->touch('sess-' . $id, 100);
        session_request(server_settings($more), $id, function () {
            session_start();
        });
        holds(abs(ttl_of($id) - $ttl) <= 5, "TTL of an unchanged session " . ttl_of($id));
    }
    ini_set('session.gc_maxlifetime', '0');
    $id = fresh_id();
    session_request(server_settings(), $id, 'count_in_session');
    ini_set('session.gc_maxlifetime', '1440');
    holds(abs(ttl_of($id) - 1440) <= 5, 'TTL where PHP has none: ' . ttl_of($id));
});

test('a login keeps the data, and its new id is locked at once', function () {
    $id = planted();
    session_request(server_settings(['persistent' => false]), $id, function () use ($id) {
        same(true, session_start());
        same(true, session_regenerate_id(true));
        same(null, stored($id));
        same(true, is_free($id));
        same(false, is_free(session_id()));
        session_write_close();
        same(DATA, stored(session_id()));
        same(true, is_free(session_id()));
    }, true);
});

test('ids in base64url are valid', function () {
    $id = 'Ab_-' . substr(fresh_id(), 0, 20);
    same(1, session_request(server_settings(), $id, 'count_in_session'));
    same(2, session_request(server_settings(), $id, 'count_in_session'));
});

test('a handler that serves many requests keeps no memory of them', function () {
    $handler = page();
    for ($i = 0; $i < 3000; $i++) {
        $handler->create_sid();
    }
    $before = memory_get_usage();
    for ($i = 0; $i < 3000; $i++) {
        $handler->create_sid();
    }
    holds(memory_get_usage() - $before < 10000, 'it grew by ' . (memory_get_usage() - $before));
});

test('an invalid setting causes one warning at session_start(), and none before', function () {
    foreach ([['timeout' => '5 parsecs'], ['servers' => 'a;b'], ['hots' => 'a']] as $settings) {
        $warned = warnings(function () use ($settings) {
            session_request($settings, fresh_id(), function () {
                same(PHP_VERSION_ID < 70100, session_start());
            });
        });
        same(PHP_VERSION_ID < 70100 ? 2 : 1, count($warned), implode(' | ', $warned));
        holds(strpos($warned[0], 'Sharedance could not read the session: ') === 0, $warned[0]);
    }
});

over();
