<?php

/*
 * sharedance.php: the functions for code that was written for the first Sharedance.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../../sharedance.php';

test('without a server everything is -1', function () {
    same(-1, sharedance_reopen());
    same(-1, sharedance_store('k', 'v'));
    same(-1, sharedance_fetch('k'));
    same(-1, sharedance_delete('k'));
    same(null, sharedance_close());
    same(-1, sharedance_open(''));
    same(-1, sharedance_open(null));
});

test('the constants are defined', function () {
    same(1042, SHAREDANCE_DEFAULT_PORT);
    same(10, SHAREDANCE_DEFAULT_TIMEOUT);
});

test('the results are those of the first library', function () {
    same(0, sharedance_open('127.0.0.1', setting('SERVER_PORT')));
    same(0, sharedance_open('127.0.0.1', setting('SERVER_PORT')), 'opened twice');
    same(0, sharedance_reopen());
    same(false, sharedance_fetch('fn-a'), 'a miss');
    same(0, sharedance_store('fn-a', 'bar-content'));
    same('bar-content', sharedance_fetch('fn-a'));
    same(0, sharedance_delete('fn-a'));
    same(-1, sharedance_delete('fn-a'), 'nothing to delete');
    same(null, sharedance_close());
    same(false, sharedance_fetch('fn-a'), 'closed, it opens by itself');
    same(0, sharedance_store('fn-number', 12));
    same('12', sharedance_fetch('fn-number'));
    same(0, sharedance_delete('fn-number'));
});

test('the value "0", alone and after 4096 bytes, is neither missing nor truncated', function () {
    foreach (['0', str_repeat('x', 4096) . '0', str_repeat('x', 8192) . '0'] as $value) {
        same(0, sharedance_store('fn-zero', $value));
        same($value, sharedance_fetch('fn-zero'));
    }
    same(0, sharedance_delete('fn-zero'));
});

test('an empty value is fetched as a miss, as in the first library', function () {
    same(0, sharedance_store('fn-empty', ''));
    same(false, sharedance_fetch('fn-empty'));
    same(0, sharedance_delete('fn-empty'));
});

test('large keys and values are not truncated', function () {
    $key = str_repeat('k', 250);
    $value = str_repeat('0123456789abcdef', 300000);
    same(0, sharedance_store($key, $value));
    same($value, sharedance_fetch($key));
    same(0, sharedance_delete($key));
});

test('a key that no server accepts', function () {
    same(-1, sharedance_store('a/b', 'v'));
    same(false, sharedance_fetch('a/b'));
    same(-1, sharedance_delete(str_repeat('k', 251)));
});

native_test('failures after connecting: -1 for store and delete, FALSE for fetch', function () {
    same(0, sharedance_open('127.0.0.1', setting('MOCK_ACTOR')));
    sharedance_close();
    mock_put('k', 'value');
    mock_play('reset 2');
    same(false, sharedance_fetch('k'));
    same(-1, sharedance_store('k', 'value'));
    same(-1, sharedance_delete('k'));
});

test('half an OK is an error', function () {
    same(0, sharedance_open('127.0.0.1', setting('MOCK_ACTOR')));
    sharedance_close();
    mock_put('k', 'value');
    mock_play('cut 2');
    same(-1, sharedance_store('k', 'value'));
    same(-1, sharedance_delete('k'));
});

test('bytes in transit are not mixed up when another server is opened', function () {
    mock_play('serve');
    mock_put('fn-where', 'on the mock');
    same(0, sharedance_open('127.0.0.1', setting('SERVER_PORT')));
    same(0, sharedance_store('fn-where', 'on the server'));
    same(0, sharedance_open('127.0.0.1', setting('MOCK_ACTOR')));
    same('on the mock', sharedance_fetch('fn-where'));
    same(0, sharedance_open('127.0.0.1', setting('SERVER_PORT')));
    same('on the server', sharedance_fetch('fn-where'));
    same(0, sharedance_delete('fn-where'));
});

native_test('a server that cannot be reached returns -1, and the previous server stays open', function () {
    same(0, sharedance_open('127.0.0.1', setting('SERVER_PORT')));
    same(0, sharedance_store('fn-stays', 'v'));
    same(-1, sharedance_open('127.0.0.1', setting('MOCK_REFUSED')));
    same('v', sharedance_fetch('fn-stays'));
    same(0, sharedance_delete('fn-stays'));
    $took = seconds(function () {
        same(-1, sharedance_open('127.0.0.1', setting('MOCK_FULL'), 0.2));
    });
    waits_about(0.2, $took);
});

test('invalid settings are reported', function () {
    same(1, count(warnings(function () {
        same(-1, sharedance_open('a b'));
    })));
    same(1, count(warnings(function () {
        same(-1, sharedance_open('localhost', 70000));
    })));
});

over();
