<?php

/*
 * Controls the misbehaving server (mock.py), and reads the requests that it has received.
 */

function mock_command($line)
{
    $stream = stream_socket_client('tcp://127.0.0.1:' . setting('MOCK_CONTROL'), $number, $error, TIMEOUT_SECS);
    holds($stream, 'no mock: ' . $error);
    stream_set_timeout($stream, (int) TIMEOUT_SECS);
    fwrite($stream, $line . "\n");
    $answer = fgets($stream);
    fclose($stream);
    holds(is_string($answer), 'the mock does not answer: ' . $line);
    return rtrim($answer, "\n");
}

/** Sets the acts of the next connections; see mock.py. */
function mock_play($acts)
{
    same('ok', mock_command('play ' . $acts), 'mock');
    // Earlier failures of the mock must not affect the test.
    foreach (['tcp://127.0.0.1:' . setting('MOCK_ACTOR'),
        'tls://localhost:' . setting('MOCK_TLS'), 'unix://' . setting('MOCK_FOLDER') . '/mock.sock'] as $address) {
        Sharedance\Wire\ServerState::recordSuccess(Sharedance\Server::parse($address, 1));
    }
}

/** The bytes received since then, a string for each connection. */
function mock_requests()
{
    $answer = mock_command('requests');
    return $answer === '' ? [] : array_map(function ($hex) {
        return $hex === '-' ? '' : hex2bin($hex);
    }, explode(' ', $answer));
}

function mock_put($key, $value)
{
    same('ok', mock_command('put ' . bin2hex($key) . ' ' . bin2hex($value)), 'mock');
}

/** The value on the server, or null. */
function mock_get($key)
{
    $answer = mock_command('get ' . bin2hex($key));
    return $answer === '-' ? null : hex2bin(substr($answer, 1));
}

/** Settings for the mock, which speaks the classic dialect. */
function mock_settings(array $more = [])
{
    return $more + [
        'host' => '127.0.0.1',
        'port' => setting('MOCK_ACTOR'),
        'connect_timeout' => TIMEOUT_SECS,
        'timeout' => TIMEOUT_SECS,
        'protocol' => 'classic',
    ];
}

/** Sets the next act of the relay to the real server; see relay.py. */
function relay($act)
{
    same('ok', mock_command('upstream ' . setting('SERVER_PORT')), 'relay');
    same('ok', mock_command('relay ' . $act), 'relay');
    Sharedance\Wire\ServerState::recordSuccess(Sharedance\Server::parse('127.0.0.1:' . setting('MOCK_RELAY'), 1));
}

/** Settings for the relay. */
function relay_settings(array $more = [])
{
    return $more + server_settings(['port' => setting('MOCK_RELAY')]);
}

/** Settings for the real server. */
function server_settings(array $more = [])
{
    return $more + [
        'host' => '127.0.0.1',
        'port' => setting('SERVER_PORT'),
        'connect_timeout' => TIMEOUT_SECS,
        'timeout' => TIMEOUT_SECS,
    ];
}
