<?php

/*
 * A page that counts, in the session, how often it was loaded: to see that sessions work, and that several web servers
 * share them. Load it from one, then from another with the same cookie: the count goes on.
 */

error_reporting(-1);

require_once __DIR__ . '/session_handler.php';

if (!session_start()) {
    http_response_code(503);
    exit("The session could not be started; the error log says why.\n");
}

$_SESSION['test'] = isset($_SESSION['test']) ? $_SESSION['test'] + 1 : 0;

header('Content-Type: text/plain; charset=utf-8');
// The id itself is a credential: a digest is as good for comparing.
echo 'You reloaded that page ', $_SESSION['test'], ' time(s).', "\n",
    'This is web server ', gethostname(), ', process ', getmypid(), ".\n",
    'Digest of your session id: [', substr(hash('sha256', session_id()), 0, 12), "]\n";
