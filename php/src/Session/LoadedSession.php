<?php

namespace Sharedance\Session;

use Sharedance\Clock;
use Sharedance\Wire\Connection;

/**
 * A session as a page found it on the server, and what the page holds of it.
 */
final class LoadedSession
{
    /** @var SessionKey */
    public $key;
    /** @var string|null null where nothing was there */
    public $data;
    /** @var string|null the version of the data, in the memcached dialect */
    public $version;
    /** @var bool whether another request held the lock, and the policy is to read only */
    public $isReadOnly = false;
    /** @var Connection|null the connection that holds the lock */
    private $lockedBy;
    private $lockExpires = 0.0;

    /**
     * @param SessionKey $key
     * @param string|null $data
     * @param string|null $version
     */
    public function __construct(
        SessionKey $key,
        #[\SensitiveParameter]
        $data = null,
        $version = null
    ) {
        $this->key = $key;
        $this->data = $data;
        $this->version = $version;
    }

    /**
     * @param Connection $connection
     * @param int $ttlSecs
     */
    public function lockedBy(Connection $connection, $ttlSecs)
    {
        $this->lockedBy = $connection;
        $this->lockExpires = $connection->began + $ttlSecs;
    }

    /** The lock was released, or its connection is closed. */
    public function unlocked()
    {
        $this->lockedBy = null;
    }

    /**
     * @return Connection|null where the lock is to be released
     */
    public function lock()
    {
        return $this->lockedBy !== null && !$this->lockedBy->isBusy ? $this->lockedBy : null;
    }

    /**
     * @param Connection $connection
     * @return bool whether the lock is held by this connection, as far as is known here
     */
    public function isLockedBy(Connection $connection)
    {
        return $this->lockedBy === $connection && Clock::now() < $this->lockExpires;
    }

    public function __debugInfo()
    {
        return ['isReadOnly' => $this->isReadOnly, 'isLocked' => $this->lockedBy !== null];
    }
}
