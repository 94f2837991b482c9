<?php

namespace Sharedance\Wire;

use Sharedance\Argument;
use Sharedance\Exception\LockTimedOut;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\Unsupported;
use Sharedance\Lock;
use Sharedance\Options;
use Sharedance\Server;
use Sharedance\ServerRing;

/**
 * The requests of Client in the memcached dialect, each to the server that has its key.
 */
final class MetaRequests
{
    private $options;
    private $ring;
    private $pool;

    public function __construct(Options $options, ServerRing $ring, ConnectionPool $pool)
    {
        $this->options = $options;
        $this->ring = $ring;
        $this->pool = $pool;
    }

    /**
     * @param string $key
     * @param string $request
     * @param string $ifDead see ConnectionPool::ask()
     * @param string $reader the method of Meta that reads the response
     * @return mixed what that returns
     * @throws SharedanceException
     */
    public function ask(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $request,
        $ifDead,
        $reader
    ) {
        return $this->pool->ask($this->serverOf($key), $request, $ifDead, [Meta::class, $reader]);
    }

    /**
     * @param mixed $key an argument of Client
     * @param mixed $value another
     * @param string $flags
     * @param string $ifDead only a write that stores the same whatever was there can be repeated
     * @return bool whether the server stored it
     * @throws SharedanceException
     */
    public function write(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $flags,
        $ifDead = ConnectionPool::CONFIRM
    ) {
        $key = Argument::key($key);
        $value = Argument::value($value);
        $this->checkSize($key, $value);
        return $this->ask($key, Meta::set($key, $value, $flags), $ifDead, 'readStatus') === 'HD';
    }

    /**
     * @param mixed $key an argument of Client, as are the next three
     * @param string $mode
     * @param mixed $by
     * @param mixed $initial
     * @param string $exptime of a pair that is made
     * @return int|float|null
     * @throws SharedanceException
     */
    public function count(
        #[\SensitiveParameter]
        $key,
        $mode,
        $by,
        $initial,
        $exptime
    ) {
        $flags = $mode . ' v D' . Argument::number($by);
        if ($initial !== null) {
            $flags .= ' J' . Argument::number($initial) . ' N' . $exptime;
        }
        $key = Argument::key($key);
        $digits = $this->ask($key, Meta::arithmetic($key, $flags), ConnectionPool::CONFIRM, 'readValue');
        return $digits === null ? null : $digits + 0;
    }

    /**
     * @param array $keys arguments of Client
     * @param string $ifDead
     * @param string $reader
     * @param callable $request makes the request for a key
     * @return array the responses by their keys
     * @throws SharedanceException
     */
    public function batch(
        #[\SensitiveParameter]
        array $keys,
        $ifDead,
        $reader,
        callable $request
    ) {
        $batches = [];
        foreach (array_map([Argument::class, 'key'], $keys) as $key) {
            $address = $this->ring->serverOf($key)->address();
            if (!isset($batches[$address])) {
                $batches[$address] = new Batch($this->pool, $this->serverOf($key), $ifDead, $reader);
            }
            $batches[$address]->add($key, $request($key));
        }
        $results = [];
        foreach ($batches as $batch) {
            $results += $batch->results();
        }
        return $results;
    }

    /**
     * @return true
     * @throws SharedanceException
     */
    public function flush()
    {
        foreach ($this->ring->servers() as $server) {
            $this->requireMemcached($server);
            $this->pool->ask($server, "flush_all\r\n", ConnectionPool::CONFIRM, function (Exchange $exchange) {
                $line = $exchange->line();
                return $line === 'OK' ? true : Meta::refusal($line);
            });
        }
        return true;
    }

    /**
     * @param string $key
     * @param float $waitSecs
     * @param int $ttlSecs
     * @return Lock
     * @throws LockTimedOut
     * @throws SharedanceException
     */
    public function lock(
        #[\SensitiveParameter]
        $key,
        $waitSecs,
        $ttlSecs
    ) {
        $server = $this->serverOf($key);
        $request = Meta::lock($key, $waitSecs, $ttlSecs);
        $isHeld = $this->pool->ask($server, $request, ConnectionPool::REPEAT, [Meta::class, 'readLock'], $waitSecs);
        if (!$isHeld) {
            throw new LockTimedOut(sprintf(
                'another client did not release the lock within %.3F s (on %s)',
                $waitSecs,
                $server->name()
            ));
        }
        return new Lock($this->pool, $server, $this->pool->connectionTo($server), $key, $ttlSecs);
    }

    /**
     * @param string $key
     * @param string $value
     * @throws TooLarge
     */
    public function checkSize(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value
    ) {
        $size = Meta::MAX_SET_OVERHEAD + strlen($key) + strlen($value);
        if ($size > $this->options->maxSize()) {
            throw new TooLarge('a request of ' . $size . ' bytes is larger than the limit of '
                . $this->options->maxSize());
        }
    }

    private function serverOf(
        #[\SensitiveParameter]
        $key
    ) {
        $server = $this->ring->serverOf($key);
        $this->requireMemcached($server);
        return $server;
    }

    private function requireMemcached(Server $server)
    {
        if (Dialect::isClassic($server, $this->options, $this->pool)) {
            throw new Unsupported($server->name() . ' speaks only the classic dialect, or is set to: that has no TTLs,'
                . ' versions, counters and locks');
        }
    }
}
