<?php

/*
 * A page that counts, in the session, how often it was loaded. It tests that sessions work, and that several web
 * servers share them: load it from one, then from another with the same cookie: the count continues. It can be copied
 * to any folder where auto_prepend_file installs the handler.
 */

error_reporting(-1);
header('Content-Type: text/plain; charset=utf-8');

if (!class_exists('Sharedance\\SessionHandler', false)) {
    $handler = __DIR__ . '/session_handler.php';
    if (!is_file($handler)) {
        http_response_code(500);
        exit("No handler is installed: auto_prepend_file does not name the library's session_handler.php here, and it is"
            . " not in this folder either.\n");
    }
    require_once $handler;
}

if (!session_start()) {
    http_response_code(503);
    exit("The session could not be started; the error log has the reason.\n");
}

$_SESSION['test'] = isset($_SESSION['test']) ? $_SESSION['test'] + 1 : 0;

// The id itself is a credential. A digest is sufficient for comparing.
echo 'You reloaded that page ', $_SESSION['test'], ' time(s).', "\n",
    'This is web server ', gethostname(), ', process ', getmypid(), ".\n",
    'Digest of your session id: [', substr(hash('sha256', session_id()), 0, 12), "]\n";
