<?php

/*
 * A page that counts in the visitor's session, and checks that the session belongs to the visitor. On SIGUSR1 it ends
 * in the requested way, at whatever point it is.
 */

if (function_exists('pcntl_async_signals')) {
    pcntl_async_signals(true);
    pcntl_signal(SIGUSR1, function () {
        switch (isset($_GET['end']) ? $_GET['end'] : '') {
            case 'exit':
                exit('exit');
            case 'memory':
                ini_set('memory_limit', '16M');
                return str_repeat('x', 1 << 25);
            case 'time':
                // PHP blocks signals while a handler runs, including the signal of its time limit.
                pcntl_sigprocmask(SIG_UNBLOCK, [SIGPROF]);
                set_time_limit(1);
                while (true);
            case 'abort':
                ignore_user_abort(false);
                while (true) {
                    echo str_repeat('x', 65536);
                    flush();
                }
        }
    });
}
if (!session_start()) {
    exit('no session');
}
$visitor = md5(session_id());
if (isset($_SESSION['visitor']) && $_SESSION['visitor'] !== $visitor) {
    exit('FOREIGN');
}
$_SESSION['visitor'] = $visitor;
$_SESSION['n'] = isset($_SESSION['n']) ? $_SESSION['n'] + 1 : 1;
if (isset($_GET['pad'])) {
    $_SESSION['pad'] = str_repeat('x', (int) $_GET['pad']);
}
$n = $_SESSION['n'];
session_write_close();
echo $n;
