<?php
/**
 * Tests PHP sessions with the extension's own handler and its locks, in text or in binary: processes that count in the
 * same session at the same time lose no update, and a destroyed session is gone.
 *
 *     php memcached_sessions.php PORT BINARY          the test
 *     php memcached_sessions.php PORT BINARY ID       one process of the test
 */

declare(strict_types=1);

const PROCESSES = 4;
const VISITS = 10;

[, $port, $binary] = $argv;
ini_set('session.use_cookies', '0');
ini_set('session.use_strict_mode', isset($argv[3]) ? '1' : '0');
ini_set('session.cache_limiter', '');
ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', "127.0.0.1:$port");
ini_set('memcached.sess_binary_protocol', $binary);
ini_set('memcached.sess_locking', '1');
ini_set('memcached.sess_lock_wait_min', '1');
ini_set('memcached.sess_lock_wait_max', '20');
ini_set('memcached.sess_lock_retries', '5000');

function visit(string $id, callable $visit): mixed
{
    session_id($id);
    if (!session_start()) {
        fwrite(STDERR, "no session\n");
        exit(1);
    }
    $result = $visit();
    session_write_close();
    return $result;
}

if (isset($argv[3])) {
    for ($i = 0; $i < VISITS; $i++) {
        visit($argv[3], fn () => $_SESSION['visits']++);
    }
    exit(0);
}

$id = bin2hex(random_bytes(16));
visit($id, fn () => $_SESSION = ['visits' => 0, 'cart' => str_repeat('x', 20000)]);
$processes = [];
for ($i = 0; $i < PROCESSES; $i++) {
    $processes[] = proc_open([PHP_BINARY, __FILE__, $port, $binary, $id], [], $pipes);
}
foreach ($processes as $process) {
    if (proc_close($process) !== 0) {
        fwrite(STDERR, "a process failed\n");
        exit(1);
    }
}
$visits = visit($id, fn () => $_SESSION['visits']);
if ($visits !== PROCESSES * VISITS) {
    fwrite(STDERR, "$visits visits\n");
    exit(1);
}
visit($id, fn () => session_destroy());
$left = visit($id, fn () => $_SESSION);
if ($left !== []) {
    fwrite(STDERR, "it is still there\n");
    exit(1);
}
echo "$visits visits of " . PROCESSES . " processes, none lost\n";
