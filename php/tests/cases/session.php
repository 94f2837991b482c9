<?php

/*
 * Sessions on the real server: faults of the first library, and its features that must keep working.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/session.php';
require __DIR__ . '/../../sharedance.php';

use Sharedance\Client;
use Sharedance\Session\Envelope;
use Sharedance\SessionHandler;

function settings(array $more = [])
{
    return $more + [
        'host' => '127.0.0.1',
        'port' => setting('SERVER_PORT'),
        'connect_timeout' => TIMEOUT_SECS,
        'timeout' => TIMEOUT_SECS,
    ];
}

function stored($key)
{
    return (new Client(settings()))->fetch($key);
}

function handler(array $more = [])
{
    return new SessionHandler(settings($more));
}

/** One request that increments the count in the session with this id. */
function visit($id, array $more = [], $isStrict = false)
{
    return session_request(settings($more), $id, function () {
        return count_in_session();
    }, $isStrict);
}

test('a session is kept from request to request', function () {
    $id = fresh_id();
    same([1, 2, 3], [visit($id), visit($id), visit($id)]);
});

test('a session is stored under the prefix, in the classic dialect with its length', function () {
    $id = fresh_id();
    visit($id);
    same('a:1:{s:1:"n";i:1;}', stored('sess-' . $id));
    visit($id, ['prefix' => 'shop-']);
    same('a:1:{s:1:"n";i:1;}', stored('shop-' . $id));
    visit($id, ['prefix' => 'old-', 'protocol' => 'classic']);
    same(Envelope::seal('a:1:{s:1:"n";i:1;}'), stored('old-' . $id));
    same(2, visit($id, ['prefix' => 'old-']), 'in the other dialect');
});

test('a cookie cannot name the entry of a cache', function () {
    (new Client(settings()))->store('page-42', 'a:1:{s:1:"n";i:41;}');
    same(1, visit('page-42'));
    same('a:1:{s:1:"n";i:41;}', stored('page-42'));
});

test('with an empty prefix, sessions are read and written in the format of the first library', function () {
    $id = fresh_id();
    (new Client(settings()))->store($id, 'a:1:{s:1:"n";i:41;}');
    same(42, visit($id, ['prefix' => '']));
    same('a:1:{s:1:"n";i:42;}', stored($id));
});

test('data of other programs under the prefix are read', function () {
    $id = fresh_id();
    (new Client(settings()))->store('sess-' . $id, 'a:1:{s:1:"n";i:41;}');
    same(42, visit($id));
});

test('strict mode: an unknown id is replaced, a known one is kept', function () {
    $planted = fresh_id();
    session_request(settings(), $planted, function () use ($planted) {
        same(true, session_start());
        holds(session_id() !== $planted, 'fixation: the id was accepted');
        $_SESSION['n'] = 7;
        session_write_close();
        $ours = session_id();
        same(true, session_start(), 'again within the request');
        same($ours, session_id(), 'a new id is kept once it is stored');
        session_write_close();
        same(8, visit($ours, [], true));
    }, true);
    same(null, stored('sess-' . $planted));
});

test('strict mode accepts the id of an empty session', function () {
    $id = fresh_id();
    handler()->write($id, '');
    same(true, handler()->validateId($id));
    same('', handler()->read($id));
    same(false, handler()->validateId(fresh_id()));
});

test('a new visitor logs in: the id changes before anything is stored', function () {
    $ids = session_request(settings(), fresh_id(), function () {
        same(true, session_start());
        $before = session_id();
        same(true, session_regenerate_id(true));
        $_SESSION['n'] = 10;
        session_write_close();
        return [$before, session_id()];
    });
    same(null, stored('sess-' . $ids[0]));
    same(11, visit($ids[1]));
});

test('a session that is not stored yet is destroyed', function () {
    session_request(settings(), fresh_id(), function () {
        same(true, session_start());
        same(true, session_destroy());
    });
});

test('a login deletes the old session, and keeps its data', function () {
    $old = fresh_id();
    visit($old);
    foreach ([false, true] as $isStrict) {
        $new = session_request(settings(), $old, function () {
            same(true, session_start());
            same(true, session_regenerate_id(true));
            session_write_close();
            return session_id();
        }, $isStrict);
        same(null, stored('sess-' . $old));
        holds(stored('sess-' . $new) !== null, 'the new session is not stored');
        $old = $new;
    }
    same(2, visit($old));
});

test('the old id can be kept', function () {
    $old = fresh_id();
    visit($old);
    $new = session_request(settings(), $old, function () {
        same(true, session_start());
        same(true, session_regenerate_id(false));
        session_write_close();
        return session_id();
    });
    same(2, visit($old));
    same(2, visit($new));
});

test('logout', function () {
    $id = fresh_id();
    visit($id);
    session_request(settings(), $id, function () {
        same(true, session_start());
        same(true, session_destroy());
    });
    same(null, stored('sess-' . $id));
    same(1, visit($id));
});

test('a page that opens another server does not move its session', function () {
    $id = fresh_id();
    visit($id);
    mock_play('serve');
    session_request(settings(), $id, function () {
        same(true, session_start());
        $_SESSION['n'] = 50;
        same(0, sharedance_open('127.0.0.1', setting('MOCK_ACTOR')));
        same(0, sharedance_store('page', 'cached'));
        same(0, sharedance_reopen());
        session_write_close();
    });
    same(null, mock_get('sess-' . $id));
    same(51, visit($id));
});

test('any data are returned, also data that end in 0 after a full buffer', function () {
    $id = fresh_id();
    foreach (['0', str_repeat('x', 4088) . '0', str_repeat('x', 4096) . '0', str_repeat("\0", 5000000)] as $data) {
        foreach (['sess-', ''] as $prefix) {
            same(true, handler(['prefix' => $prefix])->write($id, $data));
            same($data, handler(['prefix' => $prefix])->read($id));
        }
    }
    same(true, handler()->destroy($id));
});

test('an unchanged session is stored again, with the same bytes', function () {
    $id = fresh_id();
    mock_play('serve');
    for ($i = 0; $i < 2; $i++) {
        session_request(mock_settings(), $id, function () {
            same(true, session_start());
            $_SESSION['n'] = 1;
        });
    }
    $stores = array_values(array_filter(mock_requests(), function ($request) {
        return $request[0] === 'S';
    }));
    same(2, count($stores));
    same($stores[0], $stores[1]);
});

test('read_and_close extends the TTL of the session, and changes nothing', function () {
    $id = fresh_id();
    mock_play('serve');
    mock_put('sess-' . $id, Envelope::seal('a:1:{s:1:"n";i:5;}'));
    session_request(mock_settings(), $id, function () {
        same(true, session_start(['read_and_close' => true]));
        same(['n' => 5], $_SESSION);
    });
    // It checks before it stores: a session that was destroyed or changed meanwhile stays so.
    same(['F', 'F', 'S'], array_map(function ($request) {
        return $request[0];
    }, mock_requests()));
    same(Envelope::seal('a:1:{s:1:"n";i:5;}'), mock_get('sess-' . $id));
});

test('read_and_close does not create a missing session', function () {
    $id = fresh_id();
    session_request(settings(), $id, function () {
        same(true, session_start(['read_and_close' => true]));
    });
    same(null, stored('sess-' . $id));
});

test('session_abort() writes nothing', function () {
    $id = fresh_id();
    visit($id);
    session_request(settings(), $id, function () use ($id) {
        same(true, session_start());
        $_SESSION['n'] = 99;
        // Another request in the meantime.
        same(true, handler()->write($id, 'a:1:{s:1:"n";i:7;}'));
        session_abort();
    });
    same(8, visit($id));
});

test('session_reset() reads again', function () {
    $id = fresh_id();
    visit($id);
    session_request(settings(), $id, function () {
        same(true, session_start());
        $_SESSION['n'] = 99;
        session_reset();
        same(1, $_SESSION['n']);
    });
});

test('ids: created without a session, well formed, all different', function () {
    $handler = handler();
    $ids = [];
    for ($i = 0; $i < 100; $i++) {
        $ids[] = $handler->create_sid();
    }
    same(100, count(array_unique($ids)));
    foreach ($ids as $id) {
        same(1, preg_match('/^[A-Za-z0-9,-]{22,250}$/D', $id));
        same(false, $handler->validateId($id));
    }
});

test('invalid ids', function () {
    $longest = str_repeat('a', 245);
    same(1, visit($longest));
    same(2, visit($longest));
    foreach ([$longest . 'a', '', 'a b', 'a.b', '../secret', "secret\n", "\0", 'secr%C3%A9t', str_repeat('a', 100000)] as $id) {
        same(false, handler()->validateId($id));
        $warned = warnings(function () use ($id) {
            same(false, handler()->read($id));
        });
        same(1, count($warned));
        holds(strpos($warned[0], 'characters') !== false && strpos($warned[0], 'secr') === false, $warned[0]);
    }
});

test('opening, closing and garbage collection send no request', function () {
    $handler = new SessionHandler(['host' => '127.0.0.1', 'port' => setting('MOCK_REFUSED')]);
    same(true, $handler->open('/any', 'PHPSESSID'));
    same(0, $handler->gc(1440));
    same(true, $handler->close());
});

test('a dump of the handler does not contain the session', function () {
    $id = fresh_id();
    $handler = handler();
    $handler->write($id, 'secret data');
    $handler->validateId($id);
    holds(strpos(print_r($handler, true), $id) === false, 'the id is in the dump');
    holds(strpos(print_r($handler, true), 'secret') === false, 'the data are in the dump');
});

over();
