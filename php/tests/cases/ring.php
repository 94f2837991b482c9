<?php

require __DIR__ . '/../support/assert.php';

use Sharedance\Server;
use Sharedance\ServerRing;

function ring(array $specs)
{
    return new ServerRing(array_map(function ($spec) {
        return Server::parse($spec, 1042);
    }, $specs));
}

function owners(ServerRing $ring, $keys)
{
    $owners = [];
    for ($i = 0; $i < $keys; $i++) {
        $owners[$i] = $ring->serverOf('sess-' . md5("key $i"))->name();
    }
    return $owners;
}

test('each server gets its share', function () {
    $shares = array_count_values(owners(ring(['a', 'b', 'c', 'd']), 8000));
    same(4, count($shares));
    foreach ($shares as $name => $share) {
        holds($share > 1800 && $share < 2200, "$name has $share of 8000");
    }
});

test('the order of the list does not matter', function () {
    same(owners(ring(['a', 'b', 'c']), 500), owners(ring(['c', 'a', 'b']), 500));
});

test('taking a server away moves only what it had, and adding one moves only to it', function () {
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

// Web servers of a pool may run different versions of PHP, with integers of different sizes.
test('the choice is the same everywhere', function () {
    $ring = ring(['one', 'two', 'unix:///run/three.sock']);
    $chosen = '';
    foreach (range('a', 'p') as $key) {
        $chosen .= strlen($ring->serverOf($key)->name()) === 8 ? $ring->serverOf($key)->name()[0] : 'u';
    }
    same('uttuoouuutuutuot', $chosen);
});

over();
