<?php

/*
 * Stores the sessions of PHP in Sharedance. Use it as auto_prepend_file, or by require_once before session_start(). It
 * needs no editing: README.md has the settings, which are constants or environment variables.
 */

require_once __DIR__ . '/sharedance.php';

// The classes that a page with a session needs, unless they are loaded already, perhaps from another folder: the
// autoloader would take several times as long.
if (!class_exists('Sharedance\SessionHandler', false) && !class_exists('Sharedance\Options', false)) {
    require_once __DIR__ . '/src/Clock.php';
    require_once __DIR__ . '/src/Options.php';
    require_once __DIR__ . '/src/Server.php';
    require_once __DIR__ . '/src/SessionHandler.php';
    require_once __DIR__ . '/src/Session/SessionStore.php';
    require_once __DIR__ . '/src/Session/LoadedSession.php';
    require_once __DIR__ . '/src/Session/LockedSessions.php';
    require_once __DIR__ . '/src/Session/SessionKey.php';
    require_once __DIR__ . '/src/Wire/Connection.php';
    require_once __DIR__ . '/src/Wire/ConnectionPool.php';
    require_once __DIR__ . '/src/Wire/KeptStream.php';
    require_once __DIR__ . '/src/Wire/Notices.php';
}

call_user_func(function () {
    if (!function_exists('session_set_save_handler')) {
        trigger_error('Sharedance: this PHP has no sessions (extension "session")', E_USER_WARNING);
        return;
    }
    if (session_status() === PHP_SESSION_ACTIVE) {
        trigger_error('Sharedance: the session has already started and keeps its save handler; turn'
            . ' session.auto_start off, and include session_handler.php before session_start()', E_USER_WARNING);
        return;
    }
    if ($_FILES) {
        Sharedance\Session\UploadProgress::keepCookie();
    }
    try {
        // As the first Sharedance did: PHP's default serializer loses entries with numeric names or with | in their
        // names. Another choice of the administrator is kept.
        if (ini_get('session.serialize_handler') === 'php') {
            ini_set('session.serialize_handler', 'php_serialize');
        }
        session_set_save_handler(new Sharedance\SessionHandler(), true);
    } catch (\Throwable $thrown) {
        // This happens in PHP 8.2.36 and 8.4.28.
        trigger_error('Sharedance: sessions stay where php.ini puts them, since this PHP accepts no handler while'
            . ' session.upload_progress.enabled is on: turn it off in php.ini, or by php_admin_flag for the virtual host'
            . ' or the pool (' . $thrown->getMessage() . ')', E_USER_WARNING);
    }
});
