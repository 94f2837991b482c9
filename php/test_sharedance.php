<?php

/*
 * A page that stores a pair, fetches it and deletes it, and shows the results. It tests whether this web server can
 * reach the Sharedance server. It uses the server of the settings, localhost by default.
 */

error_reporting(-1);

require_once __DIR__ . '/autoload.php';

/**
 * Runs the steps in order, up to the first that fails.
 *
 * @param string $key
 * @return string[] a line for each step; the last begins with "failed" if a step failed
 */
function sharedance_check($key)
{
    $client = new Sharedance\Client();
    $content = 'bar-content ' . date('c');
    $lines = ['server:  ' . $client->serverOf($key)->name()];
    try {
        $client->store($key, $content);
        $lines[] = 'stored:  [' . $content . ']';
        $fetched = $client->fetch($key);
        if ($fetched !== $content) {
            return array_merge($lines, ['failed:  fetched ' . var_export($fetched, true)]);
        }
        $lines[] = 'fetched: [' . $fetched . ']';
        $client->delete($key);
        $again = $client->fetch($key);
        if ($again !== null) {
            return array_merge($lines, ['failed:  after the delete, fetched ' . var_export($again, true)]);
        }
        $lines[] = 'deleted: the pair no longer exists';
        $lines[] = 'All steps succeeded.';
    } catch (Sharedance\Exception\SharedanceException $failure) {
        $lines[] = 'failed:  ' . $failure->getMessage();
    }
    return $lines;
}

// Simultaneous reloads must not interfere, so each uses its own key.
$sharedance_report = sharedance_check('foo-key-' . bin2hex(random_bytes(4)));
if (strncmp(end($sharedance_report), 'failed', 6) === 0) {
    http_response_code(503);
}
header('Content-Type: text/plain; charset=utf-8');
echo implode("\n", $sharedance_report), "\n";
