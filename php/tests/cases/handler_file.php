<?php

/*
 * session_handler.php, included by a page.
 */

require __DIR__ . '/../support/assert.php';

putenv('SHAREDANCE_PORT=' . setting('SERVER_PORT'));
putenv('SHAREDANCE_TIMEOUT=' . TIMEOUT_SECS);
putenv('SHAREDANCE_CONNECT_TIMEOUT=' . TIMEOUT_SECS);
define('SESSION_HANDLER_HOST', '127.0.0.1');
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');

require __DIR__ . '/../../session_handler.php';

$id = bin2hex(random_bytes(16));

test('including the file installs the handler', function () use ($id) {
    for ($i = 0; $i < 3; $i++) {
        ini_set('session.use_strict_mode', '0');
        session_id($id);
        same(true, session_start());
        same($i ? $i - 1 : null, isset($_SESSION['n']) ? $_SESSION['n'] : null);
        $_SESSION['n'] = $i;
        $_SESSION[5] = 'entries with numbers stay';
        session_write_close();
    }
    $stored = (new Sharedance\Client())->fetch('sess-' . $id);
    holds(strpos($stored, 'a:2:{s:1:"n";i:2;i:5;s:25:"entries with numbers stay";}') !== false, 'not stored');
});

test('the functions use the server of the sessions without opening it, as in the first library', function () {
    same(0, sharedance_store('handler-file', 'v'));
    same('v', sharedance_fetch('handler-file'));
    same(0, sharedance_delete('handler-file'));
});

test('session_destroy()', function () use ($id) {
    session_id($id);
    same(true, session_start());
    same(true, session_destroy());
    same(null, (new Sharedance\Client())->fetch('sess-' . $id));
});

over();
