<?php

namespace Sharedance;

use Sharedance\Exception\SharedanceException;
use Sharedance\Wire\Connection;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Meta;

/**
 * A lock that this client holds: until release(), until this object is gone, or until its TTL has passed. It belongs to a
 * connection, and ends with it.
 */
final class Lock
{
    private $pool;
    private $server;
    private $connection;
    private $key;
    private $expires;

    /**
     * @param ConnectionPool $pool
     * @param Server $server
     * @param Connection $connection
     * @param string $key
     * @param int $ttlSecs
     */
    public function __construct(
        ConnectionPool $pool,
        Server $server,
        Connection $connection,
        #[\SensitiveParameter]
        $key,
        $ttlSecs
    ) {
        $this->pool = $pool;
        $this->server = $server;
        $this->connection = $connection;
        $this->key = $key;
        $this->expires = Clock::now() + $ttlSecs;
    }

    /**
     * @return bool whether it is held, as far as is known here: its TTL has not passed, and its connection is open
     */
    public function isHeld()
    {
        return $this->key !== null && !$this->connection->isClosed && Clock::now() < $this->expires;
    }

    /**
     * @return bool whether it was held until now; false where its TTL had passed or its connection was lost, and others
     *     may have had it meanwhile
     */
    public function release()
    {
        list($key, $this->key) = [$this->key, null];
        if ($key === null || $this->connection->isBusy) {
            return false;
        }
        try {
            return $this->pool->askOn($this->connection, $this->server, Meta::unlock($key), [Meta::class, 'readUnlock']);
        } catch (SharedanceException $failure) {
            // The connection is closed, so the server has released it.
            return false;
        }
    }

    public function __destruct()
    {
        $this->release();
    }

    public function __debugInfo()
    {
        return ['isHeld' => $this->isHeld()];
    }
}
