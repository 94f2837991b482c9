<?php

/*
 * session_handler.php after a session has started: session.auto_start, or a late include.
 */

require __DIR__ . '/../support/assert.php';

ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.save_path', sys_get_temp_dir());

test('it reports this, and does not move the session', function () {
    same(true, session_start());
    $before = session_module_name();
    $warned = warnings(function () {
        require __DIR__ . '/../../session_handler.php';
    });
    same(1, count($warned), implode(' | ', $warned));
    holds(strpos($warned[0], 'session.auto_start') !== false, $warned[0]);
    same($before, session_module_name());
    session_destroy();
});

over();
