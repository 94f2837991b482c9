<?php

/*
 * Sessions when the server fails: no session is emptied, overwritten or shown to another visitor, and the wait of a
 * page has a timeout.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/session.php';

use Sharedance\Clock;
use Sharedance\Session\Envelope;
use Sharedance\Exception\CannotConnect;
use Sharedance\Server;
use Sharedance\SessionHandler;
use Sharedance\Wire\ServerState;
use Sharedance\Wire\WorkerMemory;

const DATA = 'a:1:{s:1:"n";i:41;}';

/** Creates a session on the mock, and returns its id. */
function planted($data = DATA)
{
    $id = fresh_id();
    mock_put('sess-' . $id, Envelope::seal($data));
    return $id;
}

/**
 * A page whose session cannot be read: one warning, false, nothing shown, nothing written.
 *
 * @return string the warning
 */
function cannot_start(array $settings, $id, $isStrict = false, $isNewWorker = true)
{
    $before = mock_get('sess-' . $id);
    $warned = warnings(function () use ($settings, $id, $isStrict, $isNewWorker) {
        session_request($settings, $id, function () {
            // PHP 7.0 does not support failures here.
            same(PHP_VERSION_ID < 70100, session_start(), 'session_start');
            same(true, empty($_SESSION), 'nothing in the session');
            if (PHP_VERSION_ID < 70100) {
                $_SESSION['n'] = 1;
            }
        }, $isStrict, $isNewWorker);
    });
    same($before, mock_get('sess-' . $id), 'the stored session');
    foreach (mock_requests() as $request) {
        holds($request === '' || $request[0] !== 'S', 'something was written');
    }
    if (PHP_VERSION_ID < 70100) {
        same(1, preg_match('/^session_write_close.*Failed to write session data/', (string) array_pop($warned)), 'write');
    }
    same(1, count($warned), 'warnings: ' . implode(' | ', $warned));
    holds(strpos($warned[0], $id) === false, 'the id is in the warning');
    same(1, preg_match('/^Sharedance could not read the session on .+: .+ \(after \d+\.\d{3} s\)$/', $warned[0]), $warned[0]);
    return $warned[0];
}

/** The messages of a page whose session was read successfully before the mock executes this act. */
function page_warnings($act, callable $page)
{
    mock_play('serve');
    $id = planted();
    $warned = warnings(function () use ($id, $act, $page) {
        session_request(mock_settings(['timeout' => 0.3]), $id, function () use ($act, $page) {
            same(true, session_start());
            same(['n' => 41], $_SESSION);
            mock_play($act);
            $page();
        });
    });
    holds(strpos(implode($warned), $id) === false, 'the id is in a warning');
    return [$warned, mock_get('sess-' . $id), $id];
}

test('a server that hangs: one timeout, one warning, the session is kept', function () {
    foreach ([false, true] as $isStrict) {
        mock_play('serve');
        $id = planted();
        mock_play('hang');
        $took = seconds(function () use ($id, $isStrict) {
            $warning = cannot_start(mock_settings(['timeout' => 0.3]), $id, $isStrict);
            holds(strpos($warning, '127.0.0.1:' . setting('MOCK_ACTOR')) !== false, $warning);
            holds(strpos($warning, 'no response') !== false, $warning);
        });
        waits_about(0.3, $took);
        same(1, count(mock_requests()), 'it is asked once');
    }
});

test('a server that trickles', function () {
    mock_play('serve');
    $id = planted(serialize(['n' => str_repeat('x', 5000)]));
    mock_play('pieces 1 20');
    waits_about(0.4, seconds(function () use ($id) {
        cannot_start(mock_settings(['timeout' => 0.4]), $id);
    }));
});

test('a slow response is the session, not an empty one', function () {
    mock_play('slow 300');
    $id = planted();
    same(42, session_request(mock_settings(), $id, 'count_in_session'));
    same(Envelope::seal('a:1:{s:1:"n";i:42;}'), mock_get('sess-' . $id));
});

test('a response that is truncated anywhere is not a session', function () {
    mock_play('serve');
    $id = planted();
    for ($len = 1; $len < strlen(Envelope::seal(DATA)); $len++) {
        mock_play("cut $len");
        $warning = cannot_start(mock_settings(), $id);
        holds(strpos($warning, 'cut') !== false, $warning);
    }
});

native_test('a response that is reset anywhere is not a session', function () {
    mock_play('serve');
    $id = planted();
    foreach ([0, 1, 7, 8, 20, strlen(Envelope::seal(DATA))] as $len) {
        mock_play("reset $len");
        cannot_start(mock_settings(), $id);
    }
});

test('a server that dies before it responds, and restarts: the session is kept', function () {
    mock_play('serve');
    $id = planted();
    foreach ([false, true] as $isStrict) {
        mock_play('lost; serve');
        session_request(mock_settings(), $id, function () use ($id) {
            same(true, session_start());
            same($id, session_id());
            same(['n' => 41], $_SESSION);
        }, $isStrict);
    }
});

test('a response above the limit is not a session', function () {
    mock_play('serve');
    $id = planted(serialize(['n' => str_repeat('x', 5000)]));
    $warning = cannot_start(mock_settings(['max_size' => 1000]), $id);
    holds(strpos($warning, '1000') !== false, $warning);
});

native_test('no server is listening', function () {
    mock_play('serve');
    $warning = cannot_start(mock_settings(['port' => setting('MOCK_REFUSED')]), planted());
    holds(stripos($warning, 'refused') !== false, $warning);
});

native_test('an unreachable server is not used for two seconds, by the next requests too', function () {
    mock_play('serve');
    $id = planted();
    $settings = mock_settings(['port' => setting('MOCK_FULL'), 'connect_timeout' => 0.5]);
    waits_about(0.5, seconds(function () use ($settings, $id) {
        cannot_start($settings, $id);
    }));
    // Another request of this worker: it does not wait, and reports the reason.
    $warning = cannot_start($settings, $id, false, false);
    holds(strpos($warning, 'left alone') !== false, $warning);
    holds(preg_match('/after 0\.[0-3]/', $warning), $warning);
    // Other servers are not affected.
    same(42, session_request(mock_settings(), $id, 'count_in_session', false, false));
});

native_test('a server that hangs causes a timeout for one request of a worker, not for each', function () {
    mock_play('serve');
    $id = planted();
    mock_play('hang');
    $settings = mock_settings(['timeout' => 0.3]);
    waits_about(0.3, seconds(function () use ($settings, $id) {
        cannot_start($settings, $id);
    }));
    $warning = cannot_start($settings, $id, false, false);
    holds(strpos($warning, 'left alone') !== false, $warning);
    same(1, count(mock_requests()), 'it is asked once');
});

test('the circuit breaker closes after two seconds, and remembers the dialect', function () {
    $server = Server::parse('192.0.2.1', 1042);
    ServerState::rememberDialect($server, ServerState::CLASSIC);
    ServerState::check($server);
    ServerState::recordFailure($server);
    WorkerMemory::endRequest();
    throws(CannotConnect::class, function () use ($server) {
        ServerState::check($server);
    });
    same(ServerState::CLASSIC, ServerState::dialect($server));
    foreach ([['1.0', true], ['2.5', false], ['-3600', false]] as list($ago, $isLeft)) {
        $ticks = (int) fmod((Clock::now() - $ago) * ServerState::TICKS_PER_SEC, ServerState::MAX_TICKS);
        WorkerMemory::remember($server->address(), ($ticks << 2) + ServerState::CLASSIC);
        $isLeft ? throws(CannotConnect::class, function () use ($server) {
            ServerState::check($server);
        }) : ServerState::check($server);
    }
    same(ServerState::CLASSIC, ServerState::dialect($server));
});

native_test('the server state of a worker survives the request, without files', function () {
    same(0, WorkerMemory::recall('a number'));
    WorkerMemory::remember('a number', WorkerMemory::MAX);
    WorkerMemory::endRequest();
    same(WorkerMemory::MAX, WorkerMemory::recall('a number'));
    WorkerMemory::clear();
    WorkerMemory::endRequest();
    same(0, WorkerMemory::recall('a number'));
    same([], glob(sys_get_temp_dir() . '/sharedance-*'));
});

native_test('one of several servers is down: its sessions are unavailable, the others work', function () {
    mock_play('serve');
    $settings = mock_settings([
        'servers' => ['127.0.0.1:' . setting('MOCK_ACTOR'), '127.0.0.1:' . setting('MOCK_REFUSED')],
    ]);
    unset($settings['host'], $settings['port']);
    $ring = new Sharedance\ServerRing((new Sharedance\Options($settings))->servers());
    $seen = ['up' => 0, 'down' => 0];
    for ($i = 0; $i < 40; $i++) {
        $id = planted();
        $isUp = $ring->serverOf('sess-' . $id)->name() === '127.0.0.1:' . setting('MOCK_ACTOR');
        $seen[$isUp ? 'up' : 'down']++;
        if ($isUp) {
            same(42, session_request($settings, $id, 'count_in_session'));
            mock_play('serve');
        } else {
            cannot_start($settings, $id);
        }
    }
    holds($seen['up'] > 0 && $seen['down'] > 0, json_encode($seen));
});

test('a failed write causes one warning, and the old session stays', function () {
    $change = function () {
        $_SESSION['n'] = 1;
        session_write_close();
    };
    foreach (['hang', 'close'] as $act) {
        list($warned, $stored) = page_warnings($act, $change);
        same(1, count($warned), implode(' | ', $warned));
        holds(strpos($warned[0], 'Sharedance could not write the session on ') === 0, $warned[0]);
        same(Envelope::seal(DATA), $stored);
    }
});

test('an unchanged session whose TTL cannot be extended causes one warning', function () {
    list($warned, $stored) = page_warnings('hang', function () {
        session_write_close();
    });
    same(1, count($warned), implode(' | ', $warned));
    same(Envelope::seal(DATA), $stored);
});

test('read_and_close that cannot extend the TTL causes one warning, and returns the data', function () {
    mock_play('serve');
    $id = planted();
    mock_play('serve; hang');
    $warned = warnings(function () use ($id) {
        session_request(mock_settings(['timeout' => 0.3]), $id, function () {
            same(true, session_start(['read_and_close' => true]));
            same(['n' => 41], $_SESSION);
        });
    });
    same(1, count($warned), implode(' | ', $warned));
    holds(strpos($warned[0], 'Sharedance could not prolong the session on ') === 0, $warned[0]);
});

test('a session that is too large is refused with its size and the limit, and the old one stays', function () {
    mock_play('serve');
    $id = planted();
    $warned = warnings(function () use ($id) {
        session_request(mock_settings(['max_size' => 1000]), $id, function () {
            same(true, session_start());
            $_SESSION['n'] = str_repeat('x', 1000);
        });
    });
    same(1, count($warned), implode(' | ', $warned));
    holds(preg_match('/a request of 1\d\d\d bytes is larger than the limit of 1000/', $warned[0]), $warned[0]);
    same(Envelope::seal(DATA), mock_get('sess-' . $id));
});

test('a failed logout causes one warning, and returns false', function () {
    list($warned, $stored) = page_warnings('hang', function () {
        same(false, session_destroy());
    });
    same(1, count($warned), implode(' | ', $warned));
    holds(strpos($warned[0], 'Sharedance could not destroy the session on ') === 0, $warned[0]);
    same(Envelope::seal(DATA), $stored);
});

test('a login that cannot delete the old id causes one warning, and returns false', function () {
    list($warned) = page_warnings('hang', function () {
        same(false, session_regenerate_id(true));
    });
    same(1, count($warned), implode(' | ', $warned));
});

test('a login whose old session cannot be stored causes one warning, and returns false', function () {
    list($warned) = page_warnings('hang', function () {
        same(false, session_regenerate_id(false));
    });
    same(1, count($warned), implode(' | ', $warned));
});

native_test('a login whose new id cannot be checked causes one warning, and continues', function () {
    mock_play('serve');
    $id = planted();
    $warned = warnings(function () use ($id) {
        session_request(mock_settings(), $id, function () {
            same(true, session_start());
            mock_play('serve; reset 0; serve');
            same(true, session_regenerate_id(true));
            same(41, $_SESSION['n']);
            session_write_close();
        }, true);
    });
    same(1, count($warned), implode(' | ', $warned));
    holds(strpos($warned[0], 'Sharedance could not lock the session on ') === 0, $warned[0]);
    same(3, count(mock_requests()), 'delete, fetch, store');
});

test('a delete without a response is checked again', function () {
    mock_play('serve');
    $id = planted();
    // The server dies after it has received the request, and has not deleted anything.
    mock_play('lost; serve');
    same(true, (new SessionHandler(mock_settings()))->destroy($id));
    same(null, mock_get('sess-' . $id));
});

test('strict mode takes no extra round trip', function () {
    mock_play('serve');
    $id = planted();
    mock_play('serve');
    session_request(mock_settings(), $id, 'count_in_session', true);
    same(2, count(mock_requests()), 'a fetch and a store');
});

test('an application that converts warnings to exceptions gets one, after close()', function () {
    mock_play('serve');
    $id = planted();
    set_error_handler(function ($severity, $message) {
        throw new ErrorException($message, 0, $severity);
    });
    $log = tempnam(sys_get_temp_dir(), 'log');
    $previousLog = ini_set('error_log', $log);
    try {
        $handler = new SessionHandler(mock_settings(['timeout' => 0.2]));
        mock_play('hang');
        same(false, $handler->read($id));
        same(false, $handler->destroy($id));
        same(false, (new SessionHandler(mock_settings(['timeout' => 0.2])))->write($id, 'x'));
        if (PHP_VERSION_ID >= 70100) {
            session_set_save_handler($handler, false);
            session_id($id);
            $thrown = throws(ErrorException::class, 'session_start');
            holds(strpos($thrown, $id) === false, 'the id is in the exception: ' . $thrown);
        }
    } finally {
        ini_set('error_log', (string) $previousLog);
        restore_error_handler();
        session_id(fresh_id());
    }
    holds(strpos(file_get_contents($log), 'Sharedance could not read the session on ') !== false, 'nothing is logged');
    holds(strpos(file_get_contents($log), $id) === false, 'the id is in the log');
});

test('traces that an error handler records contain no id and no data', function () {
    mock_play('serve');
    $id = planted();
    $traces = '';
    set_error_handler(function () use (&$traces) {
        $traces .= print_r(array_map(function ($frame) {
            unset($frame['object']);
            return $frame;
        }, debug_backtrace()), true);
        return true;
    });
    try {
        mock_play('hang');
        $handler = function () {
            return new SessionHandler(mock_settings(['timeout' => 0.1]));
        };
        $handler()->read($id);
        $handler()->write($id, 'secret data');
        $handler()->updateTimestamp($id, 'secret data');
        $handler()->destroy($id);
        $validating = $handler();
        $validating->validateId($id);
        $validating->read($id);
    } finally {
        restore_error_handler();
    }
    holds(substr_count($traces, 'trigger_error') >= 5, 'no traces were taken');
    holds(strpos($traces, $id) === false, 'the id is in a trace');
    holds(strpos($traces, 'secret') === false, 'the data are in a trace');
});

test('error handlers of the application are unchanged afterwards', function () {
    mock_play('serve');
    $id = planted();
    $mine = function () {
        return true;
    };
    set_error_handler($mine);
    mock_play('hang');
    session_request(mock_settings(['timeout' => 0.1]), $id, function () {
        session_start();
    });
    trigger_error('anything', E_USER_NOTICE);
    $current = set_error_handler(null);
    restore_error_handler();
    restore_error_handler();
    same($mine, $current);
});

over();
