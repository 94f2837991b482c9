<?php

namespace Sharedance\Session;

use Sharedance\Exception\Conflict;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\SharedanceException;
use Sharedance\Options;
use Sharedance\Server;
use Sharedance\Wire\Connection;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Exchange;
use Sharedance\Wire\Meta;

use function in_array;
use function strncmp;
use function substr;

/**
 * The exchanges of LockedSessions for every possible response: locks that have to be waited for, responses that arrive in
 * pieces, refusals, lost connections. A connection that is passed to a method is one on which Connection::start() has sent
 * the request already; null where it has not.
 */
final class SessionExchanges
{
    private $options;
    private $pool;
    private $isLocking;
    private $waitSecs;
    private $lockTtl;

    /**
     * @param Options $options
     * @param ConnectionPool $pool
     * @param int $lockTtl seconds after which the server releases a lock
     */
    public function __construct(Options $options, ConnectionPool $pool, $lockTtl)
    {
        $this->options = $options;
        $this->pool = $pool;
        $this->isLocking = $options->isLocking();
        $this->waitSecs = $options->lockWaitSecs();
        $this->lockTtl = $lockTtl;
    }

    /**
     * @param Server $server
     * @param Connection $started
     * @param SessionKey $key
     * @param string $request
     * @param int $lockTtl that of the request
     * @return LoadedSession
     * @throws SharedanceException
     */
    public function load(Server $server, Connection $started, SessionKey $key, $request, $lockTtl)
    {
        $read = function (Exchange $exchange) use ($key, $lockTtl) {
            $isLocked = $this->isLocking ? Meta::readLock($exchange) : null;
            $found = Meta::readVersioned($exchange);
            if ($isLocked instanceof SharedanceException || $found instanceof SharedanceException) {
                return $isLocked instanceof SharedanceException ? $isLocked : $found;
            }
            $session = $found === null ? new LoadedSession($key)
                : new LoadedSession($key, Envelope::open($found->value), $found->version);
            if ($isLocked) {
                $session->lockedBy($exchange->connection, $lockTtl);
            }
            $session->isReadOnly = $isLocked === false;
            return $session;
        };
        $waitSecs = $this->isLocking ? $this->waitSecs : null;
        $session = $this->pool->ask($server, $request, ConnectionPool::REPEAT, $read, $waitSecs, $started);
        if ($session->isReadOnly && $this->options->lockFailure() === Options::FAIL) {
            throw $this->lockTimedOut();
        }
        return $session;
    }

    /**
     * @param Server $server
     * @param Connection|null $started
     * @param LoadedSession $session
     * @param string $request the "ms" alone
     * @param string $data
     * @return string the version of the stored session
     * @throws SharedanceException
     */
    public function write(
        Server $server,
        $started,
        LoadedSession $session,
        #[\SensitiveParameter]
        $request,
        #[\SensitiveParameter]
        $data
    ) {
        try {
            $line = $this->writeOnce($server, $started, $session, $request);
        } catch (ConnectionLost $failure) {
            $line = $this->writeOnce($server, null, $session, $request);
            $stored = strncmp($line, 'HD', 2) === 0 ? null : $this->look($server, $session->key);
            if ($stored !== null && $stored->value === $data) {
                // The first one was executed, and only its response was lost.
                $line = 'HD c' . $stored->version;
            }
        }
        $session->unlocked();
        if (strncmp($line, 'HD', 2) !== 0) {
            $status = substr($line, 0, 2);
            // A replace that finds nothing is not stored.
            throw self::conflict($status === 'NS' && $session->version !== null ? 'NF' : $status);
        }
        return substr($line, 4);
    }

    /**
     * Sends a request, and the unlock behind it where the lock is held.
     *
     * @param Server $server
     * @param Connection|null $started
     * @param LoadedSession $session
     * @param string $request
     * @param string $ifDead see ConnectionPool::ask()
     * @return string the status of the request
     * @throws SharedanceException
     */
    public function askAndUnlock(
        Server $server,
        $started,
        LoadedSession $session,
        #[\SensitiveParameter]
        $request,
        $ifDead = ConnectionPool::REPEAT
    ) {
        $isLocked = $started !== null || $session->lock() !== null;
        if ($isLocked) {
            $request .= Meta::unlock($session->key->key());
        }
        $read = function (Exchange $exchange) use ($isLocked) {
            $status = Meta::readStatus($exchange);
            $unlocked = $isLocked ? Meta::readUnlock($exchange) : true;
            return $unlocked instanceof SharedanceException ? $unlocked : $status;
        };
        $status = $this->pool->ask($server, $request, $ifDead, $read, null, $started);
        $session->unlocked();
        return $status;
    }

    /**
     * @param Server $server
     * @param LoadedSession $session
     * @throws SharedanceException
     */
    public function destroyMoved(Server $server, LoadedSession $session)
    {
        if ($session->version === null) {
            $this->askAndUnlock($server, null, $session, Meta::delete($session->key->key()));
            return;
        }
        $request = 'md ' . $session->key->key() . ($this->isLocking ? ' C' . $session->version : '') . "\r\n";
        // Repeated, it would not find what its first attempt has deleted.
        $status = $this->askAndUnlock($server, null, $session, $request, ConnectionPool::CONFIRM);
        if ($status !== 'HD') {
            throw self::conflict($status);
        }
    }

    /**
     * @param Server $server
     * @param LoadedSession $session
     */
    public function release(Server $server, LoadedSession $session)
    {
        $connection = $session->lock();
        $session->unlocked();
        if ($connection === null) {
            return;
        }
        try {
            $this->pool->askOn($connection, $server, Meta::unlock($session->key->key()), [Meta::class, 'readUnlock']);
        } catch (SharedanceException $failure) {
            // The connection is closed, so the server has released the lock.
        }
    }

    /** The status line of the write. */
    private function writeOnce(
        Server $server,
        $started,
        LoadedSession $session,
        #[\SensitiveParameter]
        $request
    ) {
        $wait = null;
        if ($this->isLocking) {
            if ($started === null && !$session->isLockedBy($this->pool->connectionTo($server))) {
                $wait = $this->waitSecs;
                $request = Meta::lock($session->key->key(), $wait, $this->lockTtl) . $request;
            }
            $request .= Meta::unlock($session->key->key());
        }
        $read = function (Exchange $exchange) use ($wait) {
            $isLocked = $wait === null ? true : Meta::readLock($exchange);
            $status = $exchange->line();
            $status = in_array(substr($status, 0, 2), ['HD', 'EX', 'NF', 'NS'], true) ? $status : Meta::refusal($status);
            $unlocked = $this->isLocking ? Meta::readUnlock($exchange) : true;
            foreach ([$isLocked, $status, $unlocked] as $result) {
                if ($result instanceof SharedanceException) {
                    return $result;
                }
            }
            return $isLocked ? $status : $this->lockTimedOut();
        };
        return $this->pool->ask($server, $request, ConnectionPool::RAISE, $read, $wait, $started);
    }

    private function look(Server $server, SessionKey $key)
    {
        $request = Meta::get($key->key(), 'v c');
        return $this->pool->ask($server, $request, ConnectionPool::REPEAT, [Meta::class, 'readVersioned']);
    }

    private function lockTimedOut()
    {
        return new LockTimedOut('another request did not release its lock within ' . $this->waitSecs . ' s');
    }

    private static function conflict($status)
    {
        $reasons = [
            'NF' => 'it was destroyed, or has expired, since this request read it; it is not created again',
            'NS' => 'another request has created it meanwhile; nothing is overwritten',
            'EX' => 'another request has changed it, or had its lock, since this one read it; nothing is overwritten',
        ];
        return new Conflict($reasons[$status]);
    }
}
