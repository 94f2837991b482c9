<?php

/*
 * Unix sockets and TLS.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

use Sharedance\Client;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\TimedOut;

function via($host, array $more = [])
{
    return new Client(mock_settings($more + ['host' => $host]));
}

function works(Client $client)
{
    mock_play('serve');
    $value = str_repeat('0123456789abcdef', 20000) . '0';
    $client->store('transport', $value);
    same($value, $client->fetch('transport'));
    same(true, $client->delete('transport'));
    same(false, $client->delete('transport'));
    same(null, $client->fetch('transport'));
}

native_test('a unix socket', function () {
    works(via('unix://' . setting('MOCK_FOLDER') . '/mock.sock'));
    $failure = throws(CannotConnect::class, function () {
        via('unix://' . setting('MOCK_FOLDER') . '/none.sock')->fetch('k');
    });
    holds(strpos($failure->getMessage(), 'none.sock') !== false, $failure->getMessage());
});

native_test('a unix socket whose server hangs', function () {
    mock_play('hang');
    throws(TimedOut::class, function () {
        via('unix://' . setting('MOCK_FOLDER') . '/mock.sock', ['timeout' => 0.2])->fetch('k');
    });
});

native_test('a unix socket whose server disconnects', function () {
    mock_play('leave');
    throws(ConnectionLost::class, function () {
        via('unix://' . setting('MOCK_FOLDER') . '/mock.sock')->fetch('k');
    });
});

if (IS_WASM || !extension_loaded('openssl')) {
    skip('TLS', 'needs a native PHP with openssl');
} else {
    test('TLS', function () {
        $client = via('tls://localhost', ['port' => setting('MOCK_TLS')]);
        works($client);
        $client->connect();
        works($client);
    });

    test('TLS: a configured authority and name, and a client certificate', function () {
        mock_play('serve');
        mock_put('transport', 'v');
        $pem = setting('MOCK_FOLDER') . '/tls.pem';
        $settings = ['port' => setting('MOCK_TLS'), 'tls_ca' => $pem, 'tls_peer_name' => 'localhost'];
        same('v', via('tls://127.0.0.1', $settings)->fetch('transport'));
        $key = setting('MOCK_FOLDER') . '/tls.key';
        same('v', via('tls://127.0.0.1', $settings + ['tls_cert' => $pem, 'tls_key' => $key])->fetch('transport'));
        new_request();
        throws(CannotConnect::class, function () use ($settings) {
            via('tls://127.0.0.1', ['tls_peer_name' => 'other'] + $settings)->fetch('transport');
        });
    });

    test('TLS: a certificate of another name is refused', function () {
        $failure = throws(CannotConnect::class, function () {
            via('tls://127.0.0.1', ['port' => setting('MOCK_TLS')])->fetch('k');
        });
        holds(preg_match('/certificate|SSL|peer/i', $failure->getMessage()), $failure->getMessage());
    });

    test('TLS: a server that hangs, and a server without TLS', function () {
        mock_play('hang');
        throws(TimedOut::class, function () {
            via('tls://localhost', ['port' => setting('MOCK_TLS'), 'timeout' => 0.2])->fetch('k');
        });
        mock_play('hang');
        throws(CannotConnect::class, function () {
            via('tls://localhost', ['port' => setting('MOCK_ACTOR'), 'connect_timeout' => 0.3])->fetch('k');
        });
    });

    test('TLS: a truncated response is detected', function () {
        mock_play('reset 100');
        mock_put('transport', str_repeat('x', 1000));
        throws(ConnectionLost::class, function () {
            via('tls://localhost', ['port' => setting('MOCK_TLS')])->fetch('transport');
        });
    });
}

over();
