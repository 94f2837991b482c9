<?php

namespace Sharedance\Wire;

use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\SharedanceException;
use Sharedance\Options;
use Sharedance\Server;

/**
 * Which dialect a server is spoken to in. A server of the first generation closes a connection at once whose first byte
 * is not one of its commands. So does one that dies; therefore it has to do so twice, and to store a pair in the classic
 * dialect in between. What was found is remembered for the life of the worker process.
 */
final class Dialect
{
    const TRIES = 2;

    /**
     * @param Server $server
     * @param Options $options
     * @param ConnectionPool $pool
     * @return bool
     * @throws SharedanceException where nothing is known of the server yet, and it cannot be reached
     */
    public static function isClassic(Server $server, Options $options, ConnectionPool $pool)
    {
        if ($options->protocol() !== Options::AUTO || $options->user() !== null) {
            // The classic dialect has no room for credentials.
            return $options->protocol() === Options::CLASSIC;
        }
        $dialect = ServerState::dialect($server);
        if ($dialect === ServerState::UNKNOWN) {
            $dialect = self::find($server, $options, $pool);
            ServerState::rememberDialect($server, $dialect);
        }
        return $dialect === ServerState::CLASSIC;
    }

    private static function find(Server $server, Options $options, ConnectionPool $pool)
    {
        for ($try = 1;; $try++) {
            try {
                $pool->ask($server, "mn\r\n", ConnectionPool::RAISE, [ConnectionPool::class, 'readNoop']);
                return ServerState::MEMCACHED;
            } catch (ConnectionLost $failure) {
                if ($try === self::TRIES) {
                    return ServerState::CLASSIC;
                }
            }
            $key = 'dialect-' . bin2hex(random_bytes(8));
            $requests = new ClassicRequests($options);
            $requests->store($server, $key, 'x');
            $requests->delete($server, $key);
        }
    }
}
