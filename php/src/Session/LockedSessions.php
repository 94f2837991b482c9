<?php

namespace Sharedance\Session;

use Sharedance\Exception\Conflict;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;
use Sharedance\Options;
use Sharedance\Server;
use Sharedance\Wire\Connection;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Meta;

use function in_array;
use function ini_get;
use function max;
use function strlen;
use function strncmp;
use function strpos;
use function substr;

/**
 * Sessions in the memcached dialect: a page has two round trips.
 *
 *     start   lock KEY; mg KEY v c
 *     end     ms KEY T<ttl> C<version> H; unlock KEY      changed
 *             mg KEY T<ttl>; unlock KEY                   unchanged: never creates, never overwrites
 *             md KEY; unlock KEY                          destroyed
 *             unlock KEY                                  aborted
 *
 * A write is bound to the version that was read, and to the lock, so one that comes too late (its lock has expired, its
 * session was destroyed) changes nothing and fails. A page that lost its lock or its connection asks for the lock again
 * before it writes: if no other page has changed the session meanwhile, nothing is lost.
 *
 * Without locking, the last page to end wins; what was destroyed is not created again.
 */
final class LockedSessions implements SessionStore
{
    /** What load() almost always reads begins like this, and the length of it. */
    const LOCKED_AND_FOUND = "MN\r\nLOCKED\r\nVA ";
    const LOCKED_AND_FOUND_LEN = 15;
    /** What write() almost always reads: the version is in between. */
    const STORED = 'HD c';
    const AND_UNLOCKED = "\r\nUNLOCKED\r\n";
    const AND_UNLOCKED_LEN = 12;
    /** What prolong() almost always reads. */
    const PROLONGED_AND_UNLOCKED = "HD\r\nUNLOCKED\r\n";
    const DEFAULT_TTL_SECS = 1440;
    const MIN_LOCK_TTL_SECS = 60;
    /** A page that reached its max_execution_time still stores its session. */
    const LOCK_TTL_MARGIN_SECS = 10;

    private $options;
    private $pool;
    private $isLocking;
    private $waitSecs;
    private $waitMillis;
    private $maxSize;
    private $timeoutSecs;

    public function __construct(Options $options, ConnectionPool $pool)
    {
        $this->options = $options;
        $this->pool = $pool;
        $this->isLocking = $options->isLocking();
        $this->waitSecs = $options->lockWaitSecs();
        $this->waitMillis = (int) ($this->waitSecs * 1000);
        $this->maxSize = $options->maxSize();
        $this->timeoutSecs = $options->timeoutSecs();
    }

    public function load(Server $server, SessionKey $key, $isNew)
    {
        if (!$this->isLocking) {
            return self::loaded($key, $this->look($server, $key));
        }
        $name = $key->key();
        $lockTtl = $this->lockTtlSecs();
        $request = 'lock ' . $name . ' ' . $this->waitMillis . ' ' . $lockTtl . "\r\nmg " . $name . " v c\r\n";
        $started = $this->pool->connectionTo($server);
        if ($started->isTrusted) {
            $response = $started->start("mn\r\n" . $request, $this->timeoutSecs);
            $session = self::wholeSession($response, $started, $key, $lockTtl);
            if ($session !== null) {
                return $session;
            }
        } else {
            $started = null;
        }
        $read = function (Connection $connection) use ($key, $lockTtl) {
            return $this->readLoaded($connection, $key, $lockTtl);
        };
        $session = $this->pool->ask($server, $request, ConnectionPool::REPEAT, $read, $this->waitSecs, $started);
        if ($session->isReadOnly && $this->options->lockFailure() === Options::FAIL) {
            throw $this->lockTimedOut();
        }
        return $session;
    }

    public function write(
        Server $server,
        LoadedSession $session,
        #[\SensitiveParameter]
        $data
    ) {
        if ($session->isReadOnly) {
            throw new LockTimedOut('it is read-only in this request: another one did not release its lock within '
                . $this->waitSecs . ' s');
        }
        if ($this->isLocking) {
            $flags = $session->version === null ? 'ME H c T' : 'C' . $session->version . ' H c T';
        } else {
            $flags = $session->version === null ? 'c T' : 'MR c T';
        }
        $request = 'ms ' . $session->key->key() . ' ' . strlen($data) . ' ' . $flags . $this->exptime() . "\r\n" . $data
            . "\r\n";
        $this->checkSize(strlen($request));
        try {
            $line = $this->writeOnce($server, $session, $request);
        } catch (ConnectionLost $failure) {
            $line = $this->writeOnce($server, $session, $request);
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
        $session->data = $data;
        $session->version = substr($line, 4);
    }

    public function overwrite(
        Server $server,
        SessionKey $key,
        #[\SensitiveParameter]
        $data
    ) {
        $request = Meta::set($key->key(), $data, 'T' . $this->exptime());
        $this->checkSize(strlen($request));
        $this->pool->ask($server, $request, ConnectionPool::REPEAT, [Meta::class, 'readStatus']);
    }

    public function prolong(Server $server, LoadedSession $session)
    {
        $request = Meta::get($session->key->key(), 'T' . $this->exptime());
        return $this->askAndUnlock($server, $session, $request) === 'HD';
    }

    public function destroy(Server $server, LoadedSession $session)
    {
        $this->askAndUnlock($server, $session, Meta::delete($session->key->key()));
    }

    public function destroyMoved(Server $server, LoadedSession $session)
    {
        if ($session->version === null) {
            $this->destroy($server, $session);
            return;
        }
        $request = 'md ' . $session->key->key() . ($this->isLocking ? ' C' . $session->version : '') . "\r\n";
        // Repeated, it would not find what its first attempt has deleted.
        $status = $this->askAndUnlock($server, $session, $request, ConnectionPool::CONFIRM);
        if ($status !== 'HD') {
            throw self::conflict($status);
        }
    }

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

    /** Sends a request, and the unlock behind it where the lock is held, and returns its status. */
    private function askAndUnlock(
        Server $server,
        LoadedSession $session,
        #[\SensitiveParameter]
        $request,
        $ifDead = ConnectionPool::REPEAT
    ) {
        $isLocked = $session->lock() !== null;
        if ($isLocked) {
            $request .= Meta::unlock($session->key->key());
        }
        $started = $ifDead === ConnectionPool::REPEAT && $isLocked ? $this->pool->connectionTo($server) : null;
        if ($started !== null && $started->isTrusted) {
            if ($started->start($request, $this->timeoutSecs) === self::PROLONGED_AND_UNLOCKED) {
                $started->finishStarted();
                $session->unlocked();
                return 'HD';
            }
        } else {
            $started = null;
        }
        $read = function (Connection $connection) use ($isLocked) {
            $status = Meta::readStatus($connection);
            $unlocked = $isLocked ? Meta::readUnlock($connection) : true;
            return $unlocked instanceof SharedanceException ? $unlocked : $status;
        };
        $status = $this->pool->ask($server, $request, $ifDead, $read, null, $started);
        $session->unlocked();
        return $status;
    }

    /** The status line of the write. */
    private function writeOnce(
        Server $server,
        LoadedSession $session,
        #[\SensitiveParameter]
        $request
    ) {
        $wait = $started = null;
        if ($this->isLocking) {
            $connection = $this->pool->connectionTo($server);
            if ($session->isLockedBy($connection)) {
                $started = $connection->isTrusted ? $connection : null;
            } else {
                $wait = $this->waitSecs;
                $request = Meta::lock($session->key->key(), $wait, $this->lockTtlSecs()) . $request;
            }
            $request .= 'unlock ' . $session->key->key() . "\r\n";
        }
        if ($started !== null) {
            $response = $started->start($request, $this->timeoutSecs);
            $version = (string) substr($response, 4, -self::AND_UNLOCKED_LEN);
            if ($version === (string) (int) $version && $response === self::STORED . $version . self::AND_UNLOCKED) {
                $started->finishStarted();
                return self::STORED . $version;
            }
        }
        $read = function (Connection $connection) use ($wait) {
            $isLocked = $wait === null ? true : Meta::readLock($connection);
            $status = $connection->line();
            $status = in_array(substr($status, 0, 2), ['HD', 'EX', 'NF', 'NS'], true) ? $status : Meta::refusal($status);
            $unlocked = $this->isLocking ? Meta::readUnlock($connection) : true;
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

    /**
     * The session that load() almost always finds: the lock is granted, and all of the response has arrived by one read.
     * Anything else, in any way, is null, and left to readLoaded().
     */
    private static function wholeSession(
        #[\SensitiveParameter]
        $response,
        Connection $connection,
        SessionKey $key,
        $lockTtl
    ) {
        if (strncmp($response, self::LOCKED_AND_FOUND, self::LOCKED_AND_FOUND_LEN) !== 0) {
            return null;
        }
        $len = (int) substr($response, self::LOCKED_AND_FOUND_LEN, 10);
        $versionAt = self::LOCKED_AND_FOUND_LEN + strlen($len) + 2;
        $end = strpos($response, "\r\n", self::LOCKED_AND_FOUND_LEN);
        if (
            $end === false || $end <= $versionAt || strlen($response) !== $end + $len + 4
            || substr($response, -2) !== "\r\n"
            || substr($response, self::LOCKED_AND_FOUND_LEN, $versionAt - self::LOCKED_AND_FOUND_LEN) !== $len . ' c'
        ) {
            return null;
        }
        $version = substr($response, $versionAt, $end - $versionAt);
        // A version can be more than an integer of 32 bits holds.
        if ($version !== (string) (int) $version) {
            return null;
        }
        $data = (string) substr($response, $end + 2, $len);
        if ($data !== '' && $data[0] === Envelope::MAGIC[0]) {
            return null;
        }
        $connection->finishStarted();
        $session = new LoadedSession($key, $data, $version);
        $session->lockedBy($connection, $lockTtl);
        return $session;
    }

    /** What load() reads where there is no session, or no lock, or the response comes in pieces. */
    private function readLoaded(Connection $connection, SessionKey $key, $lockTtl)
    {
        $isLocked = Meta::readLock($connection);
        $found = Meta::readVersioned($connection);
        if ($isLocked instanceof SharedanceException || $found instanceof SharedanceException) {
            return $isLocked instanceof SharedanceException ? $isLocked : $found;
        }
        $session = self::loaded($key, $found);
        if ($isLocked) {
            $session->lockedBy($connection, $lockTtl);
        } else {
            $session->isReadOnly = true;
        }
        return $session;
    }

    private static function loaded(SessionKey $key, $found)
    {
        return $found === null ? new LoadedSession($key)
            : new LoadedSession($key, Envelope::open($found->value), $found->version);
    }

    /** As long as a page can run; one without a limit asks again when it writes. */
    private function lockTtlSecs()
    {
        return $this->options->lockTtlSecs()
            ?: max(self::MIN_LOCK_TTL_SECS, (int) ini_get('max_execution_time') + self::LOCK_TTL_MARGIN_SECS);
    }

    private function exptime()
    {
        $ttl = $this->options->ttlSecs() ?: (int) ini_get('session.gc_maxlifetime');
        return Meta::exptime($ttl > 0 ? $ttl : self::DEFAULT_TTL_SECS);
    }

    private function checkSize($size)
    {
        if ($size > $this->maxSize) {
            throw new TooLarge('a request of ' . $size . ' bytes is larger than the limit of ' . $this->maxSize);
        }
    }

    private function lockTimedOut()
    {
        return new LockTimedOut('another request did not release its lock within ' . $this->waitSecs
            . ' s');
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
