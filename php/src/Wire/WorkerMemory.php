<?php

namespace Sharedance\Wire;

use function array_keys;
use function max;
use function md5;
use function restore_error_handler;
use function set_error_handler;
use function stream_set_chunk_size;
use function stream_socket_client;

/**
 * Numbers that a worker process keeps from one PHP request to the next, without files and without extensions.
 *
 * All variables of PHP, static ones too, end with the request. A persistent stream does not, and its chunk size is a
 * number that can be set and read. The streams are UDP sockets to the discard port of the machine itself: nothing is
 * ever sent on them, and each costs one file descriptor. Where none can be opened, the numbers last for the request.
 */
final class WorkerMemory
{
    const ADDRESS = 'udp://127.0.0.1:9/sharedance-';
    /** PHP's default, so this is what a number has that was never set. */
    const UNSET_CHUNK_SIZE = 8192;
    const MAX = 2147475000;

    private static $numbers = [];
    private static $streams = [];

    /**
     * @param string $name
     * @return int 0 where it was never set
     */
    public static function recall($name)
    {
        if (!isset(self::$numbers[$name])) {
            $chunkSize = self::exchange($name, self::UNSET_CHUNK_SIZE);
            if ($chunkSize !== self::UNSET_CHUNK_SIZE) {
                self::exchange($name, $chunkSize);
            }
            self::$numbers[$name] = max(0, $chunkSize - self::UNSET_CHUNK_SIZE);
        }
        return self::$numbers[$name];
    }

    /**
     * @param string $name
     * @param int $number from 0 to MAX
     */
    public static function remember($name, $number)
    {
        self::$numbers[$name] = $number;
        self::exchange($name, self::UNSET_CHUNK_SIZE + $number);
    }

    /** As if this request of PHP began again, for tests. */
    public static function endRequest()
    {
        self::$numbers = self::$streams = [];
    }

    /** As if a new worker process began, for tests. */
    public static function clear()
    {
        foreach (array_keys(self::$numbers) as $name) {
            self::remember($name, 0);
        }
    }

    /** Sets a number, and returns what it was. */
    private static function exchange($name, $chunkSize)
    {
        if (!isset(self::$streams[$name])) {
            set_error_handler(function () {
                return true;
            });
            try {
                $flags = STREAM_CLIENT_CONNECT | STREAM_CLIENT_PERSISTENT;
                self::$streams[$name] = stream_socket_client(self::ADDRESS . md5($name), $number, $error, 1.0, $flags);
            } finally {
                restore_error_handler();
            }
        }
        return self::$streams[$name]
            ? stream_set_chunk_size(self::$streams[$name], $chunkSize) : self::UNSET_CHUNK_SIZE;
    }
}
