<?php

/*
 * The functions of the first Sharedance, with the same names, arguments and results. New code should use
 * Sharedance\Client, which distinguishes failures.
 */

require_once __DIR__ . '/autoload.php';

defined('SHAREDANCE_DEFAULT_PORT') || define('SHAREDANCE_DEFAULT_PORT', 1042);
defined('SHAREDANCE_DEFAULT_TIMEOUT') || define('SHAREDANCE_DEFAULT_TIMEOUT', 10);

/**
 * Selects the server for the other functions, and connects to it.
 *
 * @param string $host
 * @param int $port
 * @param float $timeout seconds to connect
 * @return int 0, or -1 if the server cannot be reached; then the previous server stays selected
 */
function sharedance_open($host, $port = SHAREDANCE_DEFAULT_PORT, $timeout = SHAREDANCE_DEFAULT_TIMEOUT)
{
    return Sharedance\ClassicFunctions::open($host, $port, $timeout);
}

/**
 * Connects to the selected server. The other functions do so automatically.
 *
 * @return int 0 or -1
 */
function sharedance_reopen()
{
    return Sharedance\ClassicFunctions::reopen();
}

/**
 * @return void
 */
function sharedance_close()
{
    Sharedance\ClassicFunctions::close();
}

/**
 * @param string $key
 * @param string $data
 * @return int 0 if the value is stored, otherwise -1
 */
function sharedance_store(
    #[\SensitiveParameter]
    $key,
    #[\SensitiveParameter]
    $data
) {
    return Sharedance\ClassicFunctions::store($key, $data);
}

/**
 * @param string $key
 * @return string|bool|int the value; FALSE if there is no value or it was not received completely; -1 if the server
 *     cannot be reached
 */
function sharedance_fetch(
    #[\SensitiveParameter]
    $key
) {
    return Sharedance\ClassicFunctions::fetch($key);
}

/**
 * @param string $key
 * @return int 0 if the pair is deleted; -1 if there is no such pair, and after a failure
 */
function sharedance_delete(
    #[\SensitiveParameter]
    $key
) {
    return Sharedance\ClassicFunctions::delete($key);
}
