<?php

/*
 * A server that requires credentials, through a TCP connection, with TLS and a client certificate, and on a unix socket.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/session.php';

use Sharedance\Client;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\Refused;
use Sharedance\Exception\WrongCredentials;

const PASSWORD = 'right horse';
const WRONG_PASSWORD = 'wrong battery';

/** The settings of each way to the server. */
function ways()
{
    $credentials = ['user' => 'web', 'password' => PASSWORD, 'timeout' => TIMEOUT_SECS, 'connect_timeout' => TIMEOUT_SECS];
    $ways = ['tcp' => ['host' => '127.0.0.1', 'port' => setting('SECURED_PORT')] + $credentials];
    if (!IS_WASM) {
        $ways['unix'] = ['host' => 'unix://' . setting('SECURED_SOCKET')] + $credentials;
    }
    if (!IS_WASM && extension_loaded('openssl')) {
        $ways['tls'] = [
            'host' => 'tls://localhost',
            'port' => setting('SECURED_TLS'),
            'tls_cert' => setting('SECURED_CERT') . '.pem',
            'tls_key' => setting('SECURED_CERT') . '.key',
        ] + $credentials;
    }
    return $ways;
}

/** How many connections the server has accepted, the one of the administrator that asks included. */
function accepted()
{
    $stream = stream_socket_client('tcp://127.0.0.1:' . setting('SECURED_PORT'), $number, $error, TIMEOUT_SECS);
    stream_set_timeout($stream, (int) TIMEOUT_SECS);
    fwrite($stream, "set auth 0 -1 13\r\ncounter count\r\nstats\r\n");
    $found = null;
    while (($line = fgets($stream)) !== false && $line !== "END\r\n") {
        $found = sscanf($line, 'STAT total_connections %d')[0] ?: $found;
    }
    fclose($stream);
    return $found;
}

/** A page whose session cannot be started: returns the one warning. */
function refused(array $settings, $isNewWorker = true)
{
    $warned = warnings(function () use ($settings, $isNewWorker) {
        session_request($settings, fresh_id(), function () {
            same(PHP_VERSION_ID < 70100, session_start(), 'session_start');
        }, false, $isNewWorker);
    });
    same(PHP_VERSION_ID < 70100 ? 2 : 1, count($warned), 'warnings: ' . implode(' | ', $warned));
    foreach ([PASSWORD, WRONG_PASSWORD] as $password) {
        holds(strpos($warned[0], $password) === false, 'the password is in the warning');
    }
    return $warned[0];
}

function contains($part, $text)
{
    holds(strpos($text, $part) !== false, $text);
}

foreach (ways() as $way => $settings) {
    test("$way: a session, with one connection for all pages of a worker", function () use ($settings) {
        $id = fresh_id();
        same(1, session_request($settings, $id, 'count_in_session'));
        $before = accepted();
        for ($n = 2; $n <= 5; $n++) {
            same($n, session_request($settings, $id, 'count_in_session', $n % 2 === 0, false));
        }
        same($before + 1, accepted(), 'connections');
    });

    test("$way: sessions and clients without a kept connection", function () use ($settings) {
        $id = fresh_id();
        $settings['persistent'] = false;
        same(1, session_request($settings, $id, 'count_in_session'));
        same(2, session_request(['locking' => false] + $settings, $id, 'count_in_session'));
        $client = new Client($settings);
        same(true, $client->set('secured', str_repeat('x', 100000)));
        same(100000, strlen($client->get('secured')));
        same('done', $client->lock('secured', function () {
            return 'done';
        }));
        same(true, $client->delete('secured'));
    });

    test("$way: a wrong password is one warning, and the next pages do not try it again", function () use ($settings) {
        $wrong = ['password' => WRONG_PASSWORD] + $settings;
        contains('does not accept the user and password', refused($wrong));
        $before = accepted();
        contains('refused the user and password a moment ago', refused($wrong, false));
        same($before + 1, accepted(), 'connections');
        // Another part of the application can have other credentials.
        new_request(false);
        same(null, (new Client($settings))->get('secured-none'));
    });

    test("$way: without credentials the failure says what is missing", function () use ($settings) {
        unset($settings['user'], $settings['password']);
        contains('requires a user and a password', refused($settings));
        contains('requires a user and a password', refused(['protocol' => 'memcached', 'locking' => false] + $settings));
    });

    test("$way: a kept connection is never used with other credentials", function () use ($settings) {
        $client = new Client($settings);
        same(true, $client->set('secured', 'v'));
        new_request(false);
        $failure = throws(WrongCredentials::class, function () use ($settings) {
            // Another one than the worker remembers as wrong.
            (new Client(['password' => WRONG_PASSWORD . ' again'] + $settings))->get('secured');
        });
        holds(strpos((string) $failure, WRONG_PASSWORD) === false, 'the password is in the exception');
        throws(Refused::class, function () use ($settings) {
            unset($settings['user'], $settings['password']);
            (new Client($settings))->get('secured');
        });
        new_request(false);
        same('v', (new Client($settings))->get('secured'));
    });
}

if (isset(ways()['tls'])) {
    test('TLS: without a client certificate the failure says so', function () {
        $settings = ways()['tls'];
        unset($settings['tls_cert'], $settings['tls_key']);
        $warning = refused($settings);
        holds(preg_match('/certificate|broke the connection off|closed the connection/', $warning), $warning);
    });

    test('TLS: a server certificate of another authority or name', function () {
        // The client certificate is no authority.
        $warning = refused(['tls_ca' => setting('SECURED_CERT') . '.pem'] + ways()['tls']);
        contains('certificate verify failed', $warning);
        contains('did not match expected', refused(['tls_peer_name' => 'other.example'] + ways()['tls']));
    });

    test('TLS: a server that does not use it', function () {
        refused(['port' => setting('SECURED_PORT'), 'connect_timeout' => 1] + ways()['tls']);
    });
}

over();
