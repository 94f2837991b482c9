<?php

/*
 * Requests with sessions, one after the other in one process. Each has its own handler, as a page has.
 */

ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.gc_probability', '0');
ini_set('session.serialize_handler', 'php_serialize');

/** A request of PHP, in a new worker by default. Tests of the server state of a worker reuse the worker. */
function session_request(array $settings, $id, callable $page, $isStrict = false, $isNewWorker = true)
{
    new_request($isNewWorker);
    ini_set('session.use_strict_mode', $isStrict ? '1' : '0');
    $handler = new Sharedance\SessionHandler($settings);
    session_set_save_handler($handler, false);
    session_id($id);
    $_SESSION = [];
    try {
        return $page($handler);
    } finally {
        if (session_status() === PHP_SESSION_ACTIVE) {
            session_write_close();
        }
    }
}

/** Increments $_SESSION['n'] of a session that may be new. */
function count_in_session()
{
    same(true, session_start(), 'session_start');
    $_SESSION['n'] = isset($_SESSION['n']) ? $_SESSION['n'] + 1 : 1;
    session_write_close();
    return $_SESSION['n'];
}

function fresh_id()
{
    return bin2hex(random_bytes(16));
}
