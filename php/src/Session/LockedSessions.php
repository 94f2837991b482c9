<?php

namespace Sharedance\Session;

use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\TooLarge;
use Sharedance\Options;
use Sharedance\Server;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Meta;

use function ini_get;
use function max;
use function strlen;
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
 *
 * This file has the short way through load(), write() and prolong(), which almost every page takes: all responses arrive
 * by the first read, and are the usual ones. PHP loads as few classes as possible for it, and executes as little as
 * possible, since each page pays for both. SessionExchanges has everything else: whatever differs in any way is passed
 * on to it together with the connection, on which the exchange continues.
 */
final class LockedSessions implements SessionStore
{
    const DEFAULT_TTL_SECS = 1440;
    /** A day: shorter TTLs need no class Meta. */
    const SHORT_TTL_SECS = 86400;
    const MIN_LOCK_TTL_SECS = 60;
    /** A page that reached its max_execution_time still stores its session. */
    const LOCK_TTL_MARGIN_SECS = 10;
    /** What an Envelope begins with. */
    const ENVELOPE = "\0";

    private $options;
    private $pool;
    private $isLocking;
    private $timeoutSecs;
    private $exchanges;

    public function __construct(Options $options, ConnectionPool $pool)
    {
        $this->options = $options;
        $this->pool = $pool;
        $this->isLocking = $options->isLocking();
        $this->timeoutSecs = $options->timeoutSecs();
    }

    public function load(Server $server, SessionKey $key, $isNew)
    {
        $name = $key->key();
        $request = 'mg ' . $name . " v c\r\n";
        $usual = '';
        $lockTtl = 0;
        if ($this->isLocking) {
            $lockTtl = $this->lockTtlSecs();
            $request = 'lock ' . $name . ' ' . (int) ($this->options->lockWaitSecs() * 1000) . ' ' . $lockTtl . "\r\n" . $request;
            $usual = "LOCKED\r\n";
        }
        $connection = $this->pool->connectionTo($server);
        $greeting = $connection->greetingFor($this->isLocking);
        $response = $connection->start($greeting . $request, $this->timeoutSecs);
        $session = self::found($response, $connection->usualReply($this->isLocking) . $usual, $key);
        if ($session === null) {
            return $this->exchanges()->load($server, $connection, $key, $request, $lockTtl);
        }
        $connection->finish();
        if ($this->isLocking) {
            $session->lockedBy($connection, $lockTtl);
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
                . $this->options->lockWaitSecs() . ' s');
        }
        if ($this->isLocking) {
            $flags = $session->version === null ? 'ME H c T' : 'C' . $session->version . ' H c T';
        } else {
            $flags = $session->version === null ? 'c T' : 'MR c T';
        }
        $name = $session->key->key();
        $request = 'ms ' . $name . ' ' . strlen($data) . ' ' . $flags . $this->exptime() . "\r\n" . $data . "\r\n";
        $this->checkSize(strlen($request));
        $connection = $this->held($session);
        $version = null;
        if ($connection !== null) {
            $response = $connection->start($request . 'unlock ' . $name . "\r\n", $this->timeoutSecs);
            $version = self::versionIn($response);
        }
        if ($version === null) {
            $version = $this->exchanges()->write($server, $connection, $session, $request, $data);
        } else {
            $connection->finish();
        }
        $session->unlocked();
        $session->data = $data;
        $session->version = $version;
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
        $name = $session->key->key();
        $request = 'mg ' . $name . ' T' . $this->exptime() . "\r\n";
        $connection = $this->held($session);
        if ($connection !== null) {
            $response = $connection->start($request . 'unlock ' . $name . "\r\n", $this->timeoutSecs);
            if ($response === "HD\r\nUNLOCKED\r\n") {
                $connection->finish();
                $session->unlocked();
                return true;
            }
        }
        return $this->exchanges()->askAndUnlock($server, $connection, $session, $request) === 'HD';
    }

    public function destroy(Server $server, LoadedSession $session)
    {
        $this->exchanges()->askAndUnlock($server, null, $session, Meta::delete($session->key->key()));
    }

    public function destroyMoved(Server $server, LoadedSession $session)
    {
        $this->exchanges()->destroyMoved($server, $session);
    }

    public function release(Server $server, LoadedSession $session)
    {
        $this->exchanges()->release($server, $session);
    }

    /** The connection that holds the lock of the session, as far as is known here. */
    private function held(LoadedSession $session)
    {
        $connection = $session->lock();
        return $connection !== null && $session->isLockedBy($connection) ? $connection : null;
    }

    /** The session in a response that has the usual beginning and is complete; null for any other response. */
    private static function found(
        #[\SensitiveParameter]
        $response,
        $usual,
        SessionKey $key
    ) {
        $at = strlen($usual);
        if ($response === $usual . "EN\r\n") {
            return new LoadedSession($key);
        }
        if (!isset($response[$at])) {
            return null;
        }
        $end = strpos($response, "\r\n", $at);
        $line = (string) substr($response, $at, $end - $at);
        $version = substr($line, strpos($line, 'c') + 1);
        $data = (string) substr($response, $end + 2, -2);
        // The value ends where the response does, or there is more to read, or less.
        if (
            $response !== $usual . 'VA ' . strlen($data) . ' c' . $version . "\r\n" . $data . "\r\n"
            || $version !== (string) (int) $version || ($data !== '' && $data[0] === self::ENVELOPE)
        ) {
            return null;
        }
        return new LoadedSession($key, $data, $version);
    }

    /** The version in a response that says that the session is stored and unlocked; null for any other response. */
    private static function versionIn($response)
    {
        $version = (string) substr($response, 4, -12);
        return $response === 'HD c' . $version . "\r\nUNLOCKED\r\n" && $version === (string) (int) $version ? $version : null;
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
        $ttl = $ttl > 0 ? $ttl : self::DEFAULT_TTL_SECS;
        // Longer ones are written as a date.
        return $ttl <= self::SHORT_TTL_SECS ? $ttl : Meta::exptime($ttl);
    }

    private function checkSize($size)
    {
        if ($size > $this->options->maxSize()) {
            throw new TooLarge('a request of ' . $size . ' bytes is larger than the limit of ' . $this->options->maxSize());
        }
    }

    private function exchanges()
    {
        if ($this->exchanges === null) {
            $this->exchanges = new SessionExchanges($this->options, $this->pool, $this->lockTtlSecs());
        }
        return $this->exchanges;
    }
}
