<?php

require __DIR__ . '/../support/assert.php';

use Sharedance\Exception\InvalidOption;
use Sharedance\Server;
use Sharedance\ServerRing;

function ring(array $specs, $useApcu = false)
{
    return new ServerRing(array_map(function ($spec) {
        return Server::parse($spec, 1042);
    }, $specs), $useApcu);
}

function owners(ServerRing $ring, $keys)
{
    $owners = [];
    for ($i = 0; $i < $keys; $i++) {
        $owners[$i] = $ring->serverOf('sess-' . md5("key $i"))->name();
    }
    return $owners;
}

/** The lines of the vectors: the points that libmemcached computes for lists of servers. */
function continua()
{
    $continua = [];
    foreach (file(__DIR__ . '/../../../tests/vectors/continuum/points.txt', FILE_IGNORE_NEW_LINES) as $line) {
        $words = explode(' ', $line);
        if ($words[0] === 'continuum') {
            $specs = [];
            foreach (array_chunk(array_slice($words, 2), 3) as list($host, $port, $weight)) {
                $address = $port === '0' ? "unix://$host" : (strpos($host, ':') !== false ? "[$host]:$port" : "$host:$port");
                $specs[] = "$address?weight=$weight";
            }
            $continua[] = ['kind' => $words[1], 'specs' => $specs, 'point' => [], 'key' => []];
        } elseif ($words[0] === 'point' || $words[0] === 'key') {
            $continua[count($continua) - 1][$words[0]][] = [$words[1], (int) $words[2]];
        }
    }
    // The other kind of continuum, without weights, is not supported.
    return array_filter($continua, function ($continuum) {
        return $continuum['kind'] === 'libketama';
    });
}

test('every point equals that of libmemcached', function () {
    $compared = 0;
    foreach (continua() as $continuum) {
        $points = array_map(function ($point) {
            // As a decimal string: it does not fit into a 32-bit integer.
            return [sprintf('%u', unpack('N', $point[0])[1]), $point[1]];
        }, ring($continuum['specs'])->points());
        same($continuum['point'], $points, implode(' ', $continuum['specs']));
        $compared += count($points);
    }
    holds($compared > 2000, "only $compared points were compared");
});

test('every key is on the same server as with libmemcached, by scan and by search', function () {
    foreach (continua() as $continuum) {
        $searching = ring($continuum['specs']);
        foreach ($continuum['key'] as list($key, $owner)) {
            $expected = Server::parse($continuum['specs'][$owner], 1042)->address();
            same($expected, ring($continuum['specs'])->serverOf($key)->address(), "scan: $key");
            same($expected, $searching->serverOf($key)->address(), "search: $key");
        }
        holds(count($continuum['key']) > ServerRing::MAX_SCANS, 'the points were never sorted');
    }
});

test('shares of weights are as many points as with libmemcached', function () {
    $found = 0;
    foreach (file(__DIR__ . '/../../../tests/vectors/continuum/points.txt', FILE_IGNORE_NEW_LINES) as $line) {
        $words = explode(' ', $line);
        if ($words[0] === 'share') {
            list(, $one, $other, $ofOne, $ofOther) = array_map('intval', $words);
            $owners = array_column(ring(["a?weight=$one", "b?weight=$other"])->points(), 1);
            $counts = array_count_values($owners) + [0, 0];
            same([$ofOne, $ofOther], [$counts[0], $counts[1]], $line);
            $found++;
        } elseif ($words[0] === 'points') {
            $specs = array_map(function ($i) {
                return "10.0.0.$i";
            }, range(1, (int) $words[1]));
            same((int) $words[2], count(ring($specs)->points()), $line);
            $found++;
        }
    }
    holds($found > 200, "only $found lines");
});

test('each server gets its share', function () {
    $shares = array_count_values(owners(ring(['a', 'b', 'c', 'd']), 8000));
    same(4, count($shares));
    foreach ($shares as $name => $share) {
        holds($share > 1500 && $share < 2500, "$name has $share of 8000");
    }
    $shares = array_count_values(owners(ring(['a', 'b?weight=3']), 8000));
    holds($shares['b:1042'] > 5500 && $shares['b:1042'] < 6500, "b has {$shares['b:1042']} of 8000");
});

test('the order of the list is irrelevant', function () {
    same(owners(ring(['a', 'b', 'c']), 500), owners(ring(['c', 'a', 'b']), 500));
});

test('removing a server moves only its keys, and adding one moves keys only to it', function () {
    $before = owners(ring(['a', 'b', 'c']), 2000);
    $after = owners(ring(['a', 'c']), 2000);
    foreach ($before as $i => $owner) {
        if ($owner !== 'b:1042') {
            same($owner, $after[$i]);
        }
    }
    foreach (owners(ring(['a', 'b', 'c', 'd']), 2000) as $i => $owner) {
        holds($owner === $before[$i] || $owner === 'd:1042', "key $i moved between servers that stayed");
    }
});

test('a server has the same keys with TLS and without', function () {
    $withoutScheme = array_map(function ($name) {
        return preg_replace('~^tls://~', '', $name);
    }, owners(ring(['tls://a', 'b']), 200));
    same(owners(ring(['a', 'b']), 200), $withoutScheme);
});

test('a weight is a whole number from 1 to 65535', function () {
    same(3, Server::parse('unix:///run/s.sock?weight=3', 1042)->weight());
    same('unix:///run/s.sock', Server::parse('unix:///run/s.sock?weight=3', 1042)->address());
    same(1, Server::parse('a', 1042)->weight());
    foreach (['a?weight=0', 'a?weight=65536', 'a?weight=-1', 'a?weight=', 'a?weight=1.5', 'a?weight'] as $spec) {
        throws(InvalidOption::class, function () use ($spec) {
            Server::parse($spec, 1042);
        });
    }
});

$apcu = function_exists('apcu_enabled') && apcu_enabled();
$apcu || skip('APCu keeps the continuum for the next request', 'no APCu');
$apcu && test('APCu caches the continuum for the next request', function () {
    $specs = ['a', 'b?weight=2', 'c'];
    same(owners(ring($specs), 200), owners(ring($specs, true), 200));
    same(owners(ring($specs), 200), owners(ring($specs, true), 200));
    $kept = apcu_cache_info();
    same(1, count(array_filter($kept['cache_list'], function ($entry) {
        return strpos($entry['info'], ServerRing::APCU_PREFIX) === 0;
    })));
});

// The extension returns the server of a key without a request.
extension_loaded('memcached') || skip('ext-memcached has each key on the same server', 'no ext-memcached');
extension_loaded('memcached') && test('ext-memcached has each key on the same server', function () {
    foreach ([1, 3, 20] as $count) {
        $memcached = new Memcached();
        $memcached->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
        $specs = [];
        for ($i = 0; $i < $count; $i++) {
            list($port, $weight) = [$i % 2 ? 1042 : 11211, $i % 3 + 1];
            $memcached->addServer("10.0.0.$i", $port, $weight);
            $specs[] = "10.0.0.$i:$port?weight=$weight";
        }
        $ring = ring($specs);
        for ($i = 0; $i < 2000; $i++) {
            $theirs = $memcached->getServerByKey("key-$i");
            same($theirs['host'] . ':' . $theirs['port'], $ring->serverOf("key-$i")->name(), "key-$i of $count");
        }
    }
});

over();
