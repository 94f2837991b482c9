<?php

/*
 * The wire vectors of the project (tests/vectors): what the client sends is byte for byte what stands there, and what
 * is answered there means to it what it should.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/vectors.php';

use Sharedance\Wire\Classic;
use Sharedance\Client;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\TooLarge;

/** More would only test the mock. */
const MOST_FOR_MOCK = 200000;

/** The bytes that the codec makes of a request. */
function encoded(array $request)
{
    return $request['command'] === 'store'
        ? Classic::store($request['key'], $request['value']) : Classic::{$request['command']}($request['key']);
}

/** What the client makes of the exchange: null, a value, or a bool. */
function performed(Client $client, array $request)
{
    return $request['command'] === 'store'
        ? $client->store($request['key'], $request['value']) : $client->{$request['command']}($request['key']);
}

/** What it should make of it. */
function meaning(array $request, $reply)
{
    switch ($request['command']) {
        case 'store':
            return null;
        case 'fetch':
            return $reply === '' ? null : $reply;
        default:
            return $reply === Classic::DONE;
    }
}

$files = vector_files('classic');
$good = 0;
$refused = 0;

test('there are vectors', function () use ($files) {
    holds(count($files) > 10, 'only ' . count($files));
});

foreach ($files as $name => $vector) {
    test($name, function () use ($vector, &$good, &$refused) {
        foreach ($vector['exchanges'] as $exchange) {
            $request = vector_request($exchange);
            if ($request === null) {
                continue; // nothing that a client of ours would send
            }
            if ($exchange['end'] === 'closed') {
                $good++;
                same($exchange['sent'], encoded($request), 'bytes');
                if (strlen($exchange['sent']) < MOST_FOR_MOCK && strlen($exchange['expected']) < MOST_FOR_MOCK) {
                    mock_play('say ' . (bin2hex($exchange['expected']) ?: '-'));
                    same(meaning($request, $exchange['expected']), performed(new Client(mock_settings()), $request));
                    same([$exchange['sent']], mock_requests());
                }
                if ($vector['limit'] === null) {
                    $server = new Client(mock_settings(['port' => setting('SERVER_PORT')]));
                    same(meaning($request, $exchange['expected']), performed($server, $request), 'the real server');
                }
            } elseif (in_array($exchange['reason'], ['empty-key', 'long-key', 'key-byte', 'too-large'], true)) {
                $refused++;
                $class = $exchange['reason'] === 'too-large' ? TooLarge::class : InvalidKey::class;
                $limit = $vector['limit'] === null ? 33554432 : $vector['limit'];
                if ($class === TooLarge::class && $request['command'] !== 'store') {
                    continue; // the limit of such a server is known to it alone
                }
                throws($class, function () use ($request, $limit) {
                    performed(new Client(mock_settings(['max_size' => $limit])), $request);
                });
            }
        }
    });
}

test('enough of them were for a client', function () use (&$good, &$refused) {
    holds($good > 20 && $refused > 5, "$good good, $refused refused");
});

over();
