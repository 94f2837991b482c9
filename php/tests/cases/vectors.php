<?php

/*
 * The wire vectors of the project (tests/vectors): the client sends exactly the bytes of the vectors, and interprets
 * the responses in them correctly.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/vectors.php';

use Sharedance\Wire\Classic;
use Sharedance\Client;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\TooLarge;

/** Larger requests would only test the mock. */
const MOST_FOR_MOCK = 200000;

/** The bytes of an encoded request. */
function encoded(array $request)
{
    return $request['command'] === 'store'
        ? Classic::store($request['key'], $request['value']) : Classic::{$request['command']}($request['key']);
}

/** The result of the client for the exchange: null, a value, or a bool. */
function performed(Client $client, array $request)
{
    return $request['command'] === 'store'
        ? $client->store($request['key'], $request['value']) : $client->{$request['command']}($request['key']);
}

/** The expected result. */
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

test('the vectors are found', function () use ($files) {
    holds(count($files) > 10, 'only ' . count($files));
});

foreach ($files as $name => $vector) {
    test($name, function () use ($vector, &$good, &$refused) {
        foreach ($vector['exchanges'] as $exchange) {
            $request = vector_request($exchange);
            if ($request === null) {
                continue; // this client never sends such a request
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
                    continue; // the client does not know the limit of such a server
                }
                throws($class, function () use ($request, $limit) {
                    performed(new Client(mock_settings(['max_size' => $limit])), $request);
                });
            }
        }
    });
}

test('enough of the vectors apply to a client', function () use (&$good, &$refused) {
    holds($good > 20 && $refused > 5, "$good good, $refused refused");
});

over();
