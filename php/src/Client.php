<?php

namespace Sharedance;

use Sharedance\Exception\InvalidArgument;
use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\SharedanceException;
use Sharedance\Wire\ClassicRequests;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Dialect;
use Sharedance\Wire\Meta;
use Sharedance\Wire\MetaRequests;

/**
 * Keys and values on one or more servers. What goes wrong is an exception (SharedanceException), never a result: false
 * and null mean what each method says, and nothing else.
 *
 * A key has 1 to 250 bytes, with spaces or control characters 1 to 186. A value is a string; an integer is stored as its digits.
 *
 * A TTL is a number of seconds or a DateInterval. null is the setting "ttl", or else 30 minutes; 0 never expires; with less
 * than 0 the pair is gone at once.
 */
class Client
{
    /** The server's own default. */
    const DEFAULT_TTL_SECS = 1800;
    const LOCK_TTL_SECS = 60;

    private $options;
    private $ring;
    private $pool;
    private $requests;
    private $classic;
    private $defaultTtl;

    /**
     * @param Options|array $options
     */
    public function __construct($options = [])
    {
        $this->options = $options instanceof Options ? $options : new Options($options);
        $this->ring = new ServerRing($this->options->servers());
        $this->pool = new ConnectionPool($this->options);
        $this->requests = new MetaRequests($this->options, $this->ring, $this->pool);
        $this->classic = new ClassicRequests($this->options);
        $this->defaultTtl = $this->options->ttlSecs() ?: self::DEFAULT_TTL_SECS;
    }

    /**
     * @param string $key
     * @return string|null null where there is no such pair
     * @throws SharedanceException
     */
    public function get(
        #[\SensitiveParameter]
        $key
    ) {
        $key = Argument::key($key);
        $server = $this->ring->serverOf($key);
        if (Dialect::isClassic($server, $this->options, $this->pool)) {
            $value = $this->classic->fetch($server, $key);
            return $value === '' ? null : $value;
        }
        return $this->requests->ask($key, Meta::get($key, 'v'), ConnectionPool::REPEAT, 'readValue');
    }

    /**
     * @param string $key
     * @return VersionedValue|null
     * @throws SharedanceException
     */
    public function gets(
        #[\SensitiveParameter]
        $key
    ) {
        $key = Argument::key($key);
        return $this->requests->ask($key, Meta::get($key, 'v c'), ConnectionPool::REPEAT, 'readVersioned');
    }

    /**
     * @param string $key
     * @param string|int $value
     * @param int|\DateInterval|null $ttl
     * @return true
     * @throws SharedanceException
     */
    public function set(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $ttl = null
    ) {
        $key = Argument::key($key);
        $value = Argument::value($value);
        $server = $this->ring->serverOf($key);
        if ($ttl === null && Dialect::isClassic($server, $this->options, $this->pool)) {
            $this->classic->store($server, $key, $value);
            return true;
        }
        return $this->requests->write($key, $value, 'T' . Argument::exptime($ttl, $this->defaultTtl), ConnectionPool::REPEAT);
    }

    /**
     * @param string $key
     * @param string|int $value
     * @param int|\DateInterval|null $ttl
     * @return bool false where there is such a pair already, which stays as it is
     * @throws SharedanceException
     */
    public function add(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $ttl = null
    ) {
        return $this->requests->write($key, $value, 'ME T' . Argument::exptime($ttl, $this->defaultTtl));
    }

    /**
     * @param string $key
     * @param string|int $value
     * @param int|\DateInterval|null $ttl
     * @return bool false where there is no such pair
     * @throws SharedanceException
     */
    public function replace(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $ttl = null
    ) {
        return $this->requests->write($key, $value, 'MR T' . Argument::exptime($ttl, $this->defaultTtl));
    }

    /**
     * Stores a value if no client has changed the pair since gets() returned it.
     *
     * @param string $key
     * @param string|int $value
     * @param string $version that of gets()
     * @param int|\DateInterval|null $ttl
     * @return bool false where the pair has another version, or is gone
     * @throws SharedanceException
     */
    public function cas(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $version,
        $ttl = null
    ) {
        $flags = 'C' . Argument::version($version) . ' T' . Argument::exptime($ttl, $this->defaultTtl);
        return $this->requests->write($key, $value, $flags);
    }

    /**
     * Adds to the end of the value; its TTL stays.
     *
     * @param string $key
     * @param string|int $value
     * @return bool false where there is no such pair
     * @throws SharedanceException
     */
    public function append(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value
    ) {
        return $this->requests->write($key, $value, 'MA');
    }

    /**
     * Adds to the beginning of the value; its TTL stays.
     *
     * @param string $key
     * @param string|int $value
     * @return bool false where there is no such pair
     * @throws SharedanceException
     */
    public function prepend(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value
    ) {
        return $this->requests->write($key, $value, 'MP');
    }

    /**
     * Lets the pair live for this long from now on.
     *
     * @param string $key
     * @param int|\DateInterval|null $ttl
     * @return bool false where there is no such pair
     * @throws SharedanceException
     */
    public function touch(
        #[\SensitiveParameter]
        $key,
        $ttl = null
    ) {
        $key = Argument::key($key);
        $request = Meta::get($key, 'T' . Argument::exptime($ttl, $this->defaultTtl));
        return $this->requests->ask($key, $request, ConnectionPool::REPEAT, 'readStatus') === 'HD';
    }

    /**
     * Counts up, in one step on the server; beyond 64 bits it begins at 0 again.
     *
     * @param string $key
     * @param int $by
     * @param int|null $initial the number where there is no such pair yet; null: none is made
     * @param int|\DateInterval|null $ttl of a pair that is made; that of one that is there stays
     * @return int|float|null the new number, a float where it is larger than PHP_INT_MAX; null where there is no such
     *     pair and none is made
     * @throws SharedanceException
     */
    public function increment(
        #[\SensitiveParameter]
        $key,
        $by = 1,
        $initial = null,
        $ttl = null
    ) {
        return $this->requests->count($key, 'MI', $by, $initial, Argument::exptime($ttl, $this->defaultTtl));
    }

    /**
     * Counts down, and stops at 0.
     *
     * @param string $key
     * @param int $by
     * @param int|null $initial
     * @param int|\DateInterval|null $ttl
     * @return int|float|null
     * @throws SharedanceException
     */
    public function decrement(
        #[\SensitiveParameter]
        $key,
        $by = 1,
        $initial = null,
        $ttl = null
    ) {
        return $this->requests->count($key, 'MD', $by, $initial, Argument::exptime($ttl, $this->defaultTtl));
    }

    /**
     * @param string $key
     * @return bool false where there was no such pair
     * @throws SharedanceException
     */
    public function delete(
        #[\SensitiveParameter]
        $key
    ) {
        $key = Argument::key($key);
        $server = $this->ring->serverOf($key);
        if (Dialect::isClassic($server, $this->options, $this->pool)) {
            return $this->classic->delete($server, $key);
        }
        return $this->requests->ask($key, Meta::delete($key), ConnectionPool::CONFIRM, 'readStatus') === 'HD';
    }

    /**
     * @param array $keys
     * @return array the values of those that were found, by their keys (where PHP makes integers of numeric ones)
     * @throws SharedanceException
     */
    public function getMultiple(
        #[\SensitiveParameter]
        array $keys
    ) {
        $found = $this->requests->batch($keys, ConnectionPool::REPEAT, 'readValue', function ($key) {
            return Meta::get($key, 'v');
        });
        return array_filter($found, 'is_string');
    }

    /**
     * @param array $pairs values by their keys
     * @param int|\DateInterval|null $ttl
     * @return true
     * @throws SharedanceException where not all were stored
     */
    public function setMultiple(
        #[\SensitiveParameter]
        array $pairs,
        $ttl = null
    ) {
        $flags = 'T' . Argument::exptime($ttl, $this->defaultTtl);
        foreach ($pairs as $key => $value) {
            $pairs[$key] = Argument::value($value);
            $this->requests->checkSize((string) $key, $pairs[$key]);
        }
        $this->requests->batch(array_keys($pairs), ConnectionPool::REPEAT, 'readStatus', function ($key) use ($pairs, $flags) {
            return Meta::set($key, $pairs[$key], $flags);
        });
        return true;
    }

    /**
     * @param array $keys
     * @return int how many of them were there
     * @throws SharedanceException
     */
    public function deleteMultiple(
        #[\SensitiveParameter]
        array $keys
    ) {
        $statuses = $this->requests->batch($keys, ConnectionPool::CONFIRM, 'readStatus', [Meta::class, 'delete']);
        return count(array_keys($statuses, 'HD', true));
    }

    /**
     * Deletes all pairs of all servers, sessions too.
     *
     * @return true
     * @throws SharedanceException
     */
    public function flush()
    {
        return $this->requests->flush();
    }

    /**
     * Waits for the lock of a key, in the order of arrival. The key need not be there, and others can read and write it.
     *
     * @param string $key without spaces and control characters
     * @param callable|null $work is called with the lock held, and given it; the lock is released when it returns or throws
     * @param float $waitSecs
     * @param int $ttlSecs after which the server releases the lock in any case
     * @return Lock|mixed what $work returns; without it the Lock, which is held until its release() or its end
     * @throws LockTimedOut where another client holds it for longer
     * @throws SharedanceException
     */
    public function lock(
        #[\SensitiveParameter]
        $key,
        $work = null,
        $waitSecs = null,
        $ttlSecs = self::LOCK_TTL_SECS
    ) {
        $key = Argument::lockKey($key);
        if ($work !== null && !is_callable($work)) {
            throw new InvalidArgument('the second argument of lock() is a callable or null');
        }
        $waitSecs = $waitSecs === null ? $this->options->lockWaitSecs()
            : Argument::secs($waitSecs, 0, Options::MAX_TIMEOUT_SECS);
        $ttlSecs = (int) ceil(Argument::secs($ttlSecs, 1, Options::MAX_LOCK_TTL_SECS));
        $lock = $this->requests->lock($key, $waitSecs, $ttlSecs);
        if ($work === null) {
            return $lock;
        }
        try {
            return $work($lock);
        } finally {
            $lock->release();
        }
    }

    /**
     * Stores the pair, without a TTL for as long as the server keeps pairs (its --expiration).
     *
     * @param string $key
     * @param string|int $data
     * @param int|\DateInterval|null $ttl
     * @throws SharedanceException
     */
    public function store(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $data,
        $ttl = null
    ) {
        $canBeClassic = $this->options->protocol() !== Options::MEMCACHED && $this->options->user() === null;
        if ($ttl !== null || $this->options->ttlSecs() !== null || !$canBeClassic) {
            $this->set($key, $data, $ttl);
            return;
        }
        // Only the classic dialect has a request that leaves the TTL to the server.
        $key = Argument::key($key);
        $this->classic->store($this->ring->serverOf($key), $key, Argument::value($data));
    }

    /**
     * As get(), but an empty value reads like a missing pair, as in the classic dialect.
     *
     * @param string $key
     * @return string|null
     * @throws SharedanceException
     */
    public function fetch(
        #[\SensitiveParameter]
        $key
    ) {
        $value = $this->get($key);
        return $value === '' ? null : $value;
    }

    /**
     * Connects to all servers, which shows whether they can be reached.
     *
     * @throws SharedanceException
     */
    public function connect()
    {
        foreach ($this->ring->servers() as $server) {
            if (Dialect::isClassic($server, $this->options, $this->pool)) {
                $this->classic->connect($server);
            } else {
                $this->pool->connectionTo($server);
            }
        }
    }

    /** Closes the connections, except those that PHP keeps for its next request. */
    public function close()
    {
        $this->classic->close();
        $this->pool->close();
    }

    /**
     * @param string $key
     * @return Server
     */
    public function serverOf(
        #[\SensitiveParameter]
        $key
    ) {
        return $this->ring->serverOf($key);
    }

    public function __debugInfo()
    {
        return ['options' => $this->options];
    }
}
