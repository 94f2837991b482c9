<?php

/*
 * The test framework. A case is a file that includes this one. It prints a line for each test at the end of the case
 * (after earlier output PHP could no longer start a session), and fails on any unexpected notice.
 */

error_reporting(-1);
ini_set('display_errors', '1');
ini_set('html_errors', '0');
ini_set('memory_limit', '512M');
require_once __DIR__ . '/../../autoload.php';

/**
 * This PHP is WebAssembly: there are no unix sockets, a reset looks like an end, and a refused connection like one that
 * ends at once.
 */
define('IS_WASM', php_uname('s') === 'Emscripten');
/** A long timeout: tests do not fail on a slow machine, but hangs are detected. */
define('TIMEOUT_SECS', 20.0);

final class Failed extends Exception
{
}

final class Report
{
    public static $lines = [];
    public static $failures = 0;
    public static $unexpected = [];
    public static $isOver = false;
}

ob_start();
set_error_handler(function ($severity, $message, $file, $line) {
    Report::$unexpected[] = $message . ' in ' . $file . ':' . $line;
    return true;
});
register_shutdown_function(function () {
    $noise = (string) ob_get_clean();
    echo implode('', Report::$lines);
    if ($noise !== '') {
        echo 'not ok: unexpected output: ', $noise, "\n";
    }
    if (!Report::$isOver) {
        echo "not ok: the case ended early\n";
    }
    if ($noise !== '' || !Report::$isOver || Report::$failures) {
        exit(1);
    }
});

function test($name, callable $body)
{
    Report::$unexpected = [];
    new_request();
    try {
        $body();
        if (Report::$unexpected) {
            throw new Failed('unexpected: ' . implode('; ', Report::$unexpected));
        }
        Report::$lines[] = "ok: $name\n";
    } catch (Throwable $failure) {
        Report::$failures++;
        $kind = $failure instanceof Failed ? '' : get_class($failure) . ' at ' . $failure->getFile() . ':'
            . $failure->getLine() . ': ';
        Report::$lines[] = "not ok: $name\n    $kind" . $failure->getMessage() . ' (' . test_line($failure) . ")\n";
    }
}

function skip($name, $reason)
{
    Report::$lines[] = "skipped: $name ($reason)\n";
}

/** A test that requires a native PHP. */
function native_test($name, callable $body)
{
    IS_WASM ? skip($name, 'WebAssembly') : test($name, $body);
}

function over()
{
    Report::$isOver = true;
}

function same($expected, $actual, $what = 'value')
{
    if ($expected !== $actual) {
        throw new Failed($what . ': expected ' . shown($expected) . ', found ' . shown($actual));
    }
}

function holds($condition, $what)
{
    if (!$condition) {
        throw new Failed($what);
    }
}

/** Runs it and returns the exception, which must be of that class. */
function throws($class, callable $body)
{
    try {
        $body();
    } catch (Throwable $thrown) {
        if ($thrown instanceof $class) {
            return $thrown;
        }
        throw new Failed('expected ' . $class . ', found ' . get_class($thrown) . ': ' . $thrown->getMessage());
    }
    throw new Failed('expected ' . $class . ', nothing was thrown');
}

/** Runs it and returns the messages of the errors that PHP raised meanwhile. */
function warnings(callable $body)
{
    $before = Report::$unexpected;
    Report::$unexpected = [];
    try {
        $body();
        return array_map(function ($message) {
            return preg_replace('~ in \S+:\d+$~D', '', $message);
        }, Report::$unexpected);
    } finally {
        Report::$unexpected = $before;
    }
}

/** Runs it and returns the seconds that it took. */
function seconds(callable $body)
{
    $started = Sharedance\Clock::now();
    $body();
    return Sharedance\Clock::now() - $started;
}

/** Simulates the start of another request of PHP, in the same worker process or in a new one. */
function new_request($isNewWorker = true)
{
    Sharedance\Wire\ConnectionPool::endRequest();
    if ($isNewWorker) {
        Sharedance\Wire\WorkerMemory::clear();
    } else {
        Sharedance\Wire\WorkerMemory::endRequest();
    }
}

/** Polls whether the condition becomes true. */
function eventually(callable $condition)
{
    $started = Sharedance\Clock::now();
    while (!$condition()) {
        if (Sharedance\Clock::now() - $started > TIMEOUT_SECS) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

function waits_about($secs, $took)
{
    holds($took >= $secs * 0.95, sprintf('took %.3f s, less than %.3f', $took, $secs));
    holds($took < $secs + TIMEOUT_SECS, sprintf('took %.3f s instead of %.3f', $took, $secs));
}

function shown($value)
{
    $text = is_string($value) && strlen($value) > 300
        ? strlen($value) . ' bytes, ' . var_export(substr($value, 0, 150), true) . '...' : var_export($value, true);
    return str_replace("\0", '\0', $text);
}

function setting($name)
{
    $value = getenv($name);
    if ($value === false || $value === '') {
        throw new Failed('the runner did not set ' . $name);
    }
    return $value;
}

function test_line(Throwable $failure)
{
    foreach ($failure->getTrace() as $frame) {
        if (isset($frame['file']) && strpos($frame['file'], 'assert.php') === false) {
            return basename($frame['file']) . ':' . $frame['line'];
        }
    }
    return '?';
}
