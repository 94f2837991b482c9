<?php

/*
 * cycle.php NAME PAGE COUNT: prints NAME and the microseconds for the session of one page. COUNT pages of 50 visitors
 * are measured in batches. The lower quartile of the batches is printed, which excludes the time slices of other
 * programs. The save handler is the one of php.ini, or this library's with the settings of $BENCH_SETTINGS.
 */

const VISITORS = 50;
const WARM_UP = 100;
const BATCH = 10;

list(, $name, $page, $count) = $argv;
$settings = null;
if (getenv('BENCH_SETTINGS') !== false) {
    require getenv('BENCH_LIBRARY') . '/autoload.php';
    parse_str(getenv('BENCH_SETTINGS'), $settings);
}
$visitors = [];
for ($i = 0; $i < VISITORS; $i++) {
    $visitors[] = bin2hex(random_bytes(16));
}
$expected = array_fill(0, VISITORS, 0);

/** About 2 KB of typical session data: a user, tokens, a cart. */
function new_session()
{
    $session = ['pages' => 0, 'token' => bin2hex(random_bytes(32)), 'locale' => 'en_GB', 'flash' => [], 'cart' => [],
        'user' => ['id' => 4711, 'name' => 'Alice Example', 'mail' => 'alice@example.org', 'roles' => ['user', 'editor']]];
    for ($i = 0; $i < 15; $i++) {
        $session['cart'][] = ['article' => bin2hex(random_bytes(8)), 'count' => $i, 'price' => 9.95, 'gift' => false];
    }
    return $session;
}

/** One page. It creates its handler, as each page does. */
$cycle = function ($i, $isChanged) use ($settings, $visitors, &$expected) {
    $visitor = $i % VISITORS;
    if ($settings !== null) {
        session_set_save_handler(new Sharedance\SessionHandler($settings), false);
    }
    session_id($visitors[$visitor]);
    if (!session_start()) {
        throw new RuntimeException('the session was not started');
    }
    if (!$_SESSION) {
        $_SESSION = new_session();
    }
    if ($_SESSION['pages'] !== $expected[$visitor]) {
        throw new RuntimeException("{$_SESSION['pages']} pages in the session instead of {$expected[$visitor]}");
    }
    if ($isChanged) {
        $_SESSION['pages']++;
        $expected[$visitor]++;
    }
    session_write_close();
};

for ($i = 0; $i < WARM_UP; $i++) {
    $cycle($i, true);
}
$batches = [];
for ($i = 0; $i < $count; $i += BATCH) {
    $started = microtime(true);
    for ($j = $i; $j < $i + BATCH; $j++) {
        $cycle($j, $page === 'changed');
    }
    $batches[] = (microtime(true) - $started) / BATCH * 1e6;
}
sort($batches);
printf("%s %.3f\n", $name, $batches[count($batches) >> 2]);
