<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\CannotConnect;
use Sharedance\Server;

/**
 * What this worker process knows of a server, for as long as the worker lives: the dialect that it speaks, and whether
 * it failed a moment ago. The latter is a circuit breaker: a server that cannot be reached, or that does not respond in
 * time, costs one PHP request of this worker its time-out; for the next PAUSE_SECS the others fail at once.
 */
final class ServerState
{
    const PAUSE_SECS = 2.0;
    const UNKNOWN = 0;
    const MEMCACHED = 1;
    const CLASSIC = 2;
    /** In WorkerMemory: TICKS_PER_SEC of the time of the failure, modulo MAX_TICKS, above two bits of the dialect. */
    const TICKS_PER_SEC = 10;
    const MAX_TICKS = 268435456;

    /**
     * @param Server $server
     * @return int UNKNOWN, MEMCACHED or CLASSIC
     */
    public static function dialect(Server $server)
    {
        return WorkerMemory::recall($server->address()) & 3;
    }

    /**
     * @param Server $server
     * @param int $dialect
     */
    public static function rememberDialect(Server $server, $dialect)
    {
        $number = WorkerMemory::recall($server->address());
        if (($number & 3) !== $dialect) {
            WorkerMemory::remember($server->address(), $number - ($number & 3) + $dialect);
        }
    }

    /**
     * @param Server $server
     * @param string $account what to check in place of the server as a whole: whether it refused these credentials
     * @throws CannotConnect where the server failed a moment ago
     */
    public static function check(Server $server, $account = '')
    {
        $failed = WorkerMemory::recall($server->address() . $account) >> 2;
        if ($failed === 0) {
            return;
        }
        $left = self::PAUSE_SECS - (self::now() - $failed + self::MAX_TICKS) % self::MAX_TICKS / self::TICKS_PER_SEC;
        if ($left > 0.0) {
            throw new CannotConnect(sprintf(
                '%s %s a moment ago, and is left alone for another %.1F s',
                $server->name(),
                $account === '' ? 'failed' : 'refused the user and password',
                $left
            ));
        }
        if ($account === '') {
            self::recordSuccess($server);
        }
    }

    /**
     * @param Server $server
     * @param string $account
     */
    public static function recordFailure(Server $server, $account = '')
    {
        $dialect = $account === '' ? self::dialect($server) : self::UNKNOWN;
        WorkerMemory::remember($server->address() . $account, (self::now() << 2) + $dialect);
    }

    /**
     * @param Server $server
     */
    public static function recordSuccess(Server $server)
    {
        WorkerMemory::remember($server->address(), self::dialect($server));
    }

    /** The time in ticks, never 0. */
    private static function now()
    {
        return max(1, (int) fmod(Clock::now() * self::TICKS_PER_SEC, self::MAX_TICKS));
    }
}
