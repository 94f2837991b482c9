<?php

/*
 * The client against the real server.
 */

require __DIR__ . '/../support/assert.php';

use Sharedance\Client;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;

function client(array $more = [])
{
    return new Client($more + [
        'host' => '127.0.0.1',
        'port' => setting('SERVER_PORT'),
        'connect_timeout' => TIMEOUT_SECS,
        'timeout' => TIMEOUT_SECS,
    ]);
}

function comes_back($value)
{
    client()->store('client-value', $value);
    same($value, client()->fetch('client-value'), 'a value of ' . strlen($value) . ' bytes');
}

test('store, fetch, delete', function () {
    $client = client();
    same(null, $client->fetch('client-a'));
    $client->store('client-a', 'first');
    $client->store('client-a', 'second');
    same('second', $client->fetch('client-a'));
    same('second', $client->fetch('client-a'), 'fetched again');
    same(true, $client->delete('client-a'));
    same(null, $client->fetch('client-a'));
    same(false, $client->delete('client-a'), 'deleted twice');
});

test('"0" is a value, and so is a value that ends in 0 after a full buffer', function () {
    comes_back('0');
    comes_back(str_repeat('x', 4096) . '0');
    comes_back(str_repeat('x', 8192) . '0');
    comes_back(str_repeat('x', 65536) . '0');
    comes_back("0\n");
});

test('a value may contain any byte', function () {
    comes_back(implode('', array_map('chr', range(0, 255))));
    comes_back("OK\n");
    comes_back("\0");
});

test('large values are returned whole', function () {
    foreach ([16383, 16384, 16385, 1 << 20, 5000001] as $len) {
        comes_back(substr(str_repeat('0123456789abcdef-', (int) ($len / 17) + 1), 0, $len));
    }
    client()->delete('client-value');
});

test('an empty value is fetched as a missing one', function () {
    client()->store('client-empty', '');
    same(null, client()->fetch('client-empty'));
    same(true, client()->delete('client-empty'));
});

test('all allowed keys work', function () {
    $key = '';
    for ($byte = 32; $byte < 127; $byte++) {
        $key .= $byte === 46 || $byte === 47 ? '' : chr($byte);
    }
    foreach ([$key, 'k', ' ', str_repeat('k', 250)] as $each) {
        client()->store($each, 'v');
        same('v', client()->fetch($each));
        same(true, client()->delete($each));
    }
});

test('a bad key is refused before anything is sent, and not repeated', function () {
    $bad = ['', str_repeat('k', 251), 'secret.', 'secret/', "secret\n", "secret\0", "secret\x7f", "secr\xc3\xa9t"];
    $settings = ['host' => '127.0.0.1', 'port' => setting('MOCK_REFUSED')];
    $client = new Client($settings + ['protocol' => 'classic']);
    foreach ($bad as $key) {
        foreach (['fetch', 'delete', 'store'] as $method) {
            $failure = throws(InvalidKey::class, function () use ($client, $method, $key) {
                $method === 'store' ? $client->store($key, 'v') : $client->$method($key);
            });
            holds(strpos((string) $failure, 'secr') === false, 'the key is in the exception');
        }
    }
});

test('a request that is too large is refused before it is sent, with the size and the limit', function () {
    $client = new Client(
        ['host' => '127.0.0.1', 'port' => setting('MOCK_REFUSED'), 'max_size' => 1000, 'protocol' => 'classic']
    );
    $failure = throws(TooLarge::class, function () use ($client) {
        $client->store('abc', str_repeat('x', 989));
    });
    same('a request of 1001 bytes is larger than the limit of 1000', $failure->getMessage());
    $client = client(['max_size' => 1000]);
    $client->store('client-size', str_repeat('x', 980));
    same(980, strlen($client->fetch('client-size')));
    same(true, $client->delete('client-size'));
});

test('a refusal of the server is a failure', function () {
    // More than the limit of the server, which closes the connection after the header.
    $failure = throws(SharedanceException::class, function () {
        client(['max_size' => 64 * 1024 * 1024])->store('client-huge', str_repeat('x', 33554433));
    });
    holds(!$failure instanceof TooLarge, get_class($failure));
});

test('a connection that was opened ahead is used, and replaced when the server has closed it', function () {
    $client = client();
    $client->connect();
    $client->connect();
    $client->store('client-ahead', 'v');
    same('v', $client->fetch('client-ahead'));
    $client->connect();
    $client->close();
    same(true, $client->delete('client-ahead'));
});

over();
