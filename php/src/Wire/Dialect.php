<?php

namespace Sharedance\Wire;

use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\SharedanceException;
use Sharedance\Options;
use Sharedance\Server;

/**
 * Which dialect a server is spoken to in. A server of the first generation closes a connection at once whose first byte
 * is none of its commands. So does one that dies; therefore such a server has to show, too, that it speaks the classic
 * dialect. What was found is remembered for the life of the worker process.
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
        if ($options->protocol() !== Options::AUTO) {
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
        for ($i = 1;; $i++) {
            try {
                $pool->ask($server, "mn\r\n", ConnectionPool::RAISE, [ConnectionPool::class, 'readNoop']);
                return ServerState::MEMCACHED;
            } catch (ConnectionLost $failure) {
                if ($i < self::TRIES) {
                    continue;
                }
            }
            // A key that nobody uses: the answer is an end in good order.
            (new ClassicRequests($options))->fetch($server, 'dialect-' . bin2hex(random_bytes(8)));
            return ServerState::CLASSIC;
        }
    }
}
