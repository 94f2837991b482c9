<?php

/*
 * table.php FILE [--check]: prints the table of the benchmark. Each line of FILE has the name of a variant and its
 * microseconds. With --check the exit status is 1 if a goal is missed.
 */

const TABLE = [
    ['sharedance, with lock', 'new-lock', 'kept-lock'],
    ['sharedance, no lock', 'new', 'kept'],
    ['sharedance, with lock, session unchanged', null, 'kept-lock-unchanged'],
    ['sharedance, classic dialect', 'classic', null],
    ['sharedance, classic dialect, baseline', 'baseline', null],
    ['php-memcached, no lock', 'memcached-new', 'memcached-kept'],
    ['php-memcached, with lock', 'memcached-new-lock', 'memcached-kept-lock'],
    ['php-redis, no lock', 'redis-new', 'redis-kept'],
    ['php-redis, with lock', 'redis-new-lock', 'redis-kept-lock'],
];
/** The goals: a variant, its baseline, and the maximum ratio. */
const GOALS = [
    ['kept connection with lock / php-memcached persistent without lock', 'kept-lock', 'memcached-kept', 1.15],
    ['kept connection with lock / php-memcached persistent with lock', 'kept-lock', 'memcached-kept-lock', 0.7],
    ['new connection with lock / php-redis on a new connection without lock', 'new-lock', 'redis-new', 1.0],
    ['unchanged session / changed session', 'kept-lock-unchanged', 'kept-lock', 0.9],
    // Two measurements of equal code differ by at most this.
    ['classic dialect / baseline', 'classic', 'baseline', 1.03],
];

function median(array $values)
{
    sort($values);
    return $values[count($values) >> 1];
}

$measured = [];
foreach (file($argv[1], FILE_IGNORE_NEW_LINES) as $line) {
    list($name, $micros) = explode(' ', $line);
    $measured[$name][] = (float) $micros;
}
echo "microseconds of session_start(), a change and session_write_close(); median (minimum)\n\n";
echo "| | new connection | kept connection |\n| --- | --- | --- |\n";
foreach (TABLE as list($what, $new, $kept)) {
    $cells = array_map(function ($name) use ($measured) {
        return isset($measured[$name])
            ? sprintf('%.0f (%.0f)', median($measured[$name]), min($measured[$name])) : '–';
    }, [$new, $kept]);
    if ($cells !== ['–', '–']) {
        echo "| $what | $cells[0] | $cells[1] |\n";
    }
}
echo "\n| ratio of the minimums | goal | measured | |\n| --- | --- | --- | --- |\n";
$missed = 0;
foreach (GOALS as list($what, $one, $other, $goal)) {
    if (!isset($measured[$one], $measured[$other])) {
        continue;
    }
    // Other programs can only make rounds slower, so the minimum counts.
    $ratio = min($measured[$one]) / min($measured[$other]);
    $missed += $ratio > $goal;
    printf("| %s | ≤ %.2f | %.2f | %s |\n", $what, $goal, $ratio, $ratio > $goal ? 'missed' : 'met');
}
exit($missed && in_array('--check', $argv, true) ? 1 : 0);
