<?php

require __DIR__ . '/../support/assert.php';

use Sharedance\Session\Envelope;
use Sharedance\Exception\ConnectionLost;

$values = ['', 'a', 'a:1:{s:1:"n";i:1;}', "\0SD1", "\0", str_repeat("\xff", 70000)];

test('sealed data are opened unchanged', function () use ($values) {
    foreach ($values as $value) {
        same($value, Envelope::open(Envelope::seal($value)));
    }
});

test('the layout is the documented one', function () {
    same("\0SD1\0\0\0\x03abc", Envelope::seal('abc'));
});

test('equal data are encoded to equal bytes, so that the server detects an unchanged value', function () {
    same(Envelope::seal('abc'), Envelope::seal('abc'));
});

test('truncation at any byte is detected', function () {
    $sealed = Envelope::seal('a:1:{s:1:"n";i:1;}');
    for ($len = 1; $len < strlen($sealed); $len++) {
        throws(ConnectionLost::class, function () use ($sealed, $len) {
            Envelope::open(substr($sealed, 0, $len));
        });
    }
    throws(ConnectionLost::class, function () use ($sealed) {
        Envelope::open($sealed . 'x');
    });
});

test('data without an envelope are returned unchanged', function () {
    foreach (['a:0:{}', 'n|i:1;', '0', "\x01ni:1;", "\0\0\0\x02\x14", "SD1\0\0\0\x01x"] as $bare) {
        same($bare, Envelope::open($bare));
    }
});

over();
