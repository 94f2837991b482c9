<?php

/*
 * Connections that a worker keeps between requests, when a request is killed in the middle of an exchange. The worker
 * is PHP's built-in server. A relay holds back a response after its Nth byte; then the request is killed.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

if (IS_WASM || !function_exists('posix_kill') || !function_exists('proc_open') || !extension_loaded('pcntl')) {
    skip('kept connections', 'needs a native PHP with posix and pcntl');
    over();
    return;
}
require __DIR__ . '/../support/builtin.php';

const VISITORS = 50;
const REQUESTS = 2000;

function visitor($i)
{
    return md5("visitor $i");
}

function client()
{
    return new Sharedance\Client(server_settings(['persistent' => false]));
}

function is_free($id)
{
    try {
        return client()->lock('sess-' . $id, 'is_object', 0);
    } catch (Sharedance\Exception\LockTimedOut $held) {
        return false;
    }
}

/** The count of each visitor. */
$counts = [];

function visit(Builtin $worker, $i)
{
    global $counts;
    $counts[$i] = isset($counts[$i]) ? $counts[$i] + 1 : 1;
    same((string) $counts[$i], $worker->get('page.php', visitor($i)), "visitor $i");
}

function forget(...$visitors)
{
    global $counts;
    foreach ($visitors as $i) {
        unset($counts[$i]);
    }
}

function many_visits(Builtin $worker)
{
    for ($i = 0; $i < REQUESTS; $i++) {
        visit($worker, mt_rand(1, VISITORS));
    }
    for ($i = 1; $i <= VISITORS; $i++) {
        same(true, is_free(visitor($i)), "lock of visitor $i");
    }
}

/** Whether the relay stalls before the page responds. */
function stalls($stream)
{
    do {
        $read = [$stream];
        $write = $except = null;
        if (mock_command('stalled') === 'yes') {
            return true;
        }
    } while (!stream_select($read, $write, $except, 0, 1000));
    return false;
}

/**
 * Starts a request of a visitor, kills it after the Nth byte of the responses, and sends a request of the next visitor.
 *
 * @return bool false if there is no Nth byte
 */
function kill_behind(Builtin $worker, $n, $end, $victim)
{
    relay("stall $n");
    $stream = $worker->ask("page.php?end=$end", visitor($victim));
    if (!stalls($stream)) {
        $worker->answer($stream);
        relay('pass');
        return false;
    }
    if ($end === 'abort') {
        fclose($stream);
    }
    posix_kill($worker->pid, SIGUSR1);
    if ($end !== 'abort') {
        $worker->answer($stream);
    }
    relay('pass');
    visit($worker, $victim + 1);
    // The server detects the end of a connection only through the relay.
    holds(eventually(function () use ($victim) {
        return is_free(visitor($victim));
    }), "lock of the visitor who was killed behind byte $n");
    return true;
}

$worker = new Builtin();
relay('pass');

test('a worker keeps its connection', function () use ($worker) {
    visit($worker, 1);
    $before = (int) mock_command('connections');
    for ($i = 1; $i <= 20; $i++) {
        visit($worker, $i);
    }
    same($before, (int) mock_command('connections'));
});

/**
 * How requests end, the range of bytes, and whether the worker must be replaced: PHP may no longer handle signals after
 * a signal handler that did not return. Since PHP 8 exit() is an exception, after which it still does.
 */
$ends = [
    'exit' => PHP_VERSION_ID < 80000 ? [9, true] : [1, false],
    'memory' => [9, true],
    'abort' => [9, true],
    'time' => [37, true],
];
foreach ($ends as $end => list($step, $isDeaf)) {
    test("requests that end by $end between two bytes of a response", function () use ($worker, $end, $step, $isDeaf) {
        $victim = 1000;
        for ($n = 0, $isLast = false; !$isLast; $n += $step) {
            $worker = $isDeaf ? new Builtin() : $worker;
            // A different victim each time, with an existing session: its count is undetermined afterwards.
            $victim += 2;
            visit($worker, $victim);
            $isLast = !kill_behind($worker, $n, $end, $victim);
            $found = unserialize(client()->get('sess-' . visitor($victim)));
            same(md5(visitor($victim)), $found['visitor'], 'the visitor of the session');
            holds($found['n'] === 1 || $found['n'] === 2, "counted {$found['n']}");
            client()->deleteMultiple(['sess-' . visitor($victim), 'sess-' . visitor($victim + 1)]);
            forget($victim, $victim + 1);
        }
        // The responses at the start and at the end of a session.
        holds($n > 140, "only $n bytes");
        many_visits($worker);
    });
}

test('a session that does not fit into the memory limit, read and written', function () use ($worker) {
    relay('pass');
    $worker->get('page.php?pad=12000000', visitor(5001));
    for ($i = 0; $i < 5; $i++) {
        $worker->get('page.php?pad=12000000', visitor(5001));
        visit($worker, 5002);
    }
    many_visits($worker);
});

test('a request that was sent in part is not completed by the bytes of the next', function () {
    relay('pass');
    $id = visitor(6001);
    // More than the buffers of the connection can hold.
    $pad = 20000000;
    same('1', (new Builtin())->get("page.php?pad=$pad", $id));
    foreach ([0, 1, 10, 100, 100000] as $i => $behind) {
        $worker = new Builtin();
        // After the first request; the session of the visitor is returned whole.
        $head = strlen("unlock_all 0123456789abcdef\r\nlock sess- 30000 60\r\nmg sess- v c\r\n") + 2 * strlen($id);
        relay('deaf ' . ($head + $behind));
        $stream = $worker->ask('page.php?end=exit&pad=' . ($pad + $i + 1), $id);
        same(true, stalls($stream));
        // Wait until the bytes in transit have arrived; then PHP blocks.
        usleep(50000);
        posix_kill($worker->pid, SIGUSR1);
        relay('pass');
        $worker->answer($stream);
        visit($worker, 6002);
        holds(eventually(function () use ($id) {
            return is_free($id);
        }), 'the lock stays');
        // A shutdown function of PHP may have stored the session on another connection.
        $found = unserialize(client()->get('sess-' . $id));
        same(md5($id), $found['visitor']);
        $isStored = $found['n'] === 2;
        same([$isStored ? 2 : 1, $isStored ? $pad + $i + 1 : $pad], [$found['n'], strlen($found['pad'])]);
        client()->set('sess-' . $id, serialize(['visitor' => md5($id), 'n' => 1, 'pad' => str_repeat('x', $pad)]));
    }
    many_visits($worker);
});

test('a worker that is killed', function () use ($worker) {
    relay('stall 40');
    $stream = $worker->ask('page.php', visitor(7001));
    same(true, stalls($stream));
    posix_kill($worker->pid, SIGKILL);
    fclose($stream);
    relay('pass');
    holds(eventually(function () {
        return is_free(visitor(7001));
    }), 'the lock stays');
    $next = new Builtin();
    many_visits($next);
    $next->stop();
});

over();
