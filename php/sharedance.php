<?php

/*
 * The functions of the first Sharedance, with its names, arguments and results. New code has Sharedance\Client, which
 * tells failures apart.
 */

require_once __DIR__ . '/autoload.php';

defined('SHAREDANCE_DEFAULT_PORT') || define('SHAREDANCE_DEFAULT_PORT', 1042);
defined('SHAREDANCE_DEFAULT_TIMEOUT') || define('SHAREDANCE_DEFAULT_TIMEOUT', 10);

/**
 * Chooses the server of the other functions, and connects to it.
 *
 * @param string $host
 * @param int $port
 * @param float $timeout seconds to connect
 * @return int 0, or -1 where the server cannot be reached; what was chosen before then stays chosen
 */
function sharedance_open($host, $port = SHAREDANCE_DEFAULT_PORT, $timeout = SHAREDANCE_DEFAULT_TIMEOUT)
{
    return Sharedance\ClassicFunctions::open($host, $port, $timeout);
}

/**
 * Connects to the server that was chosen before. The other functions do so by themselves.
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
 * @return int 0 once it is stored, else -1
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
 * @return string|bool|int the value; FALSE where there is none, or where it did not arrive whole; -1 where the server
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
 * @return int 0 once it is deleted; -1 where there is no such pair, and after a failure
 */
function sharedance_delete(
    #[\SensitiveParameter]
    $key
) {
    return Sharedance\ClassicFunctions::delete($key);
}
