<?php

/*
 * The client against servers that hang, trickle, disconnect early or send malformed responses.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

use Sharedance\Client;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;

function mocked(array $more = [])
{
    return new Client(mock_settings($more));
}

/** Store, fetch and delete each fail with this exception. */
function all_fail($class, Client $client)
{
    $requests = [
        function () use ($client) {
            $client->store('secret-key', 'secret-value');
        },
        function () use ($client) {
            $client->fetch('secret-key');
        },
        function () use ($client) {
            $client->delete('secret-key');
        },
    ];
    foreach ($requests as $request) {
        mock_put('secret-key', 'secret-value');
        new_request();
        $failure = throws($class, $request);
        // The cast includes the trace.
        holds(strpos((string) $failure, 'secret') === false, 'key or value in the exception: ' . $failure);
    }
}

test('a server that hangs causes one timeout, and no longer wait', function () {
    mock_play('hang');
    $took = seconds(function () {
        all_fail(TimedOut::class, mocked(['timeout' => 0.2]));
    });
    waits_about(0.6, $took);
});

test('a server that trickles causes one timeout, and no longer wait', function () {
    mock_put('trickle', str_repeat('x', 10000));
    // A byte every 20 ms: 200 s for the whole value.
    mock_play('pieces 1 20');
    $took = seconds(function () {
        throws(TimedOut::class, function () {
            mocked(['timeout' => 0.5])->fetch('trickle');
        });
    });
    waits_about(0.5, $took);
});

test('a response in small pieces is assembled', function () {
    mock_play('pieces 1 5');
    mock_put('pieces', 'in small pieces0');
    same('in small pieces0', mocked()->fetch('pieces'));
    mocked()->store('pieces', 'new');
    same('new', mock_get('pieces'));
    same(true, mocked()->delete('pieces'));
});

test('a slow response is accepted', function () {
    mock_play('slow 300');
    mock_put('slow', 'value');
    same('value', mocked()->fetch('slow'));
});

native_test('a server that does not read causes a timeout', function () {
    mock_play('deaf');
    $took = seconds(function () {
        throws(TimedOut::class, function () {
            mocked(['timeout' => 0.3])->store('deaf', str_repeat('x', 20000000));
        });
    });
    waits_about(0.3, $took);
});

test('a large request reaches a server that is slow to read, whole', function () {
    $value = str_repeat('0123456789abcdef', 500000);
    mock_play('serve');
    mocked()->store(str_repeat('k', 250), $value);
    same($value, mock_get(str_repeat('k', 250)));
    same(true, mocked()->delete(str_repeat('k', 250)));
});

native_test('an incomplete response is an error', function () {
    foreach (['reset 0', 'reset 1', 'reset 2'] as $act) {
        mock_play($act);
        all_fail(ConnectionLost::class, mocked());
    }
    mock_put('long', str_repeat('x', 100000));
    foreach (['reset 0', 'reset 1', 'reset 4096', 'reset 99999'] as $act) {
        mock_play($act);
        throws(ConnectionLost::class, function () {
            mocked()->fetch('long');
        });
    }
});

test('half an OK is an error', function () {
    foreach (['cut 1', 'cut 2'] as $act) {
        mock_play($act);
        foreach (['store', 'delete'] as $method) {
            mock_put('k', 'v');
            throws(ConnectionLost::class, function () use ($method) {
                $method === 'store' ? mocked()->store('k', 'v') : mocked()->delete('k');
            });
        }
    }
});

test('a store without a response is refused', function () {
    mock_play('cut 0');
    $failure = throws(Refused::class, function () {
        mocked()->store('k', 'v');
    });
    holds(strpos($failure->getMessage(), '127.0.0.1:' . setting('MOCK_ACTOR')) !== false, $failure->getMessage());
});

test('a connection that is closed at once is a failure of a store', function () {
    mock_play('close');
    throws(SharedanceException::class, function () {
        mocked()->store('k', 'v');
    });
});

test('a server of another protocol is detected', function () {
    foreach (["NO\n", 'OKAY', "HTTP/1.1 400 Bad Request\r\n", "\n"] as $reply) {
        mock_play('say ' . bin2hex($reply));
        throws(UnexpectedReply::class, function () {
            mocked()->store('k', 'v');
        });
    }
});

test('the length of a response is limited', function () {
    mock_play('serve');
    mock_put('big', str_repeat('x', 200000));
    throws(TooLarge::class, function () {
        mocked(['max_size' => 199999])->fetch('big');
    });
    same(200000, strlen(mocked(['max_size' => 200000])->fetch('big')));
});

native_test('no server is listening', function () {
    all_fail(CannotConnect::class, mocked(['port' => setting('MOCK_REFUSED')]));
    new_request();
    $failure = throws(CannotConnect::class, function () {
        mocked(['port' => setting('MOCK_REFUSED')])->connect();
    });
    holds(stripos($failure->getMessage(), 'refused') !== false, $failure->getMessage());
});

native_test('a server that does not accept causes a connect timeout', function () {
    $took = seconds(function () {
        throws(CannotConnect::class, function () {
            mocked(['port' => setting('MOCK_FULL'), 'connect_timeout' => 0.3])->fetch('k');
        });
    });
    waits_about(0.3, $took);
});

native_test('a name that does not exist', function () {
    throws(CannotConnect::class, function () {
        mocked(['host' => 'no-such-host.invalid'])->fetch('k');
    });
});

native_test('a connection that was opened ahead and closed by the server is replaced', function () {
    mock_play('close; serve');
    mock_put('ahead', 'v');
    $client = mocked();
    $client->connect();
    holds(eventually(function () {
        return count(mock_requests()) === 1;
    }), 'the mock has not closed the connection');
    same('v', $client->fetch('ahead'));
});

test('an error handler of the application receives none of these failures', function () {
    mock_play('reset 0');
    same([], warnings(function () {
        foreach ([setting('MOCK_ACTOR'), setting('MOCK_REFUSED')] as $port) {
            try {
                mocked(['port' => $port])->store('k', 'v');
            } catch (SharedanceException $failure) {
            }
        }
    }));
    same(null, error_get_last());
});

over();
