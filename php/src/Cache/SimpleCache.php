<?php

namespace Sharedance\Cache;

use Psr\SimpleCache\CacheInterface;
use Sharedance\Client;
use Sharedance\Exception\InvalidCacheArgument;
use Sharedance\Exception\InvalidOption;

/**
 * Implementation of Sharedance\Psr16Cache, except get(), whose declaration depends on the version of psr/simple-cache.
 *
 * A server that fails is a missing value, or false: a cache must not take an application down. The option on_failure
 * gets the exception.
 *
 * clear() removes the values of this prefix only, since the same servers may keep sessions. Each value carries the
 * generation of the cache, a random text under a key of its own that is read together with the values; clear() replaces
 * it. A value of another generation is a missing one.
 */
abstract class SimpleCache implements CacheInterface
{
    const DEFAULTS = [
        'prefix' => 'cache-',
        'default_ttl' => null,
        'serializer' => 'php',
        'compress_above' => null,
        'compression' => 'auto',
        'clear' => 'prefix',
        'on_failure' => null,
    ];
    const MAX_PREFIX_LEN = 100;
    const MAX_KEY_LEN = 250;
    /** PSR-16 reserves these, so no key of an application has them. */
    const RESERVED = '{}()/\\@:';
    const GENERATION_KEY = ':generation';
    const HASHED = ':sha256:';
    const GENERATION_LEN = 16;
    const FOR_EVER = 0;

    private $client;
    private $encoding;
    private $options;
    /** As read last, for writing; null while unknown. */
    private $generation;

    /**
     * @param Client|\Sharedance\Options|array $client
     * @param array $options prefix: what keys begin with. default_ttl: seconds, where a call names none; 0 is for
     *     ever, null the client's own. serializer: php, igbinary or json. compress_above: bytes from which values are
     *     compressed; null is never. compression: zstd, zlib or auto. clear: prefix, or flush, which empties the servers
     *     and costs other calls nothing. on_failure: callable that gets each exception.
     * @throws InvalidOption
     */
    public function __construct($client = [], array $options = [])
    {
        $unknown = array_diff(array_keys($options), array_keys(self::DEFAULTS));
        if ($unknown) {
            throw new InvalidOption('Unknown option of the cache: ' . implode(', ', $unknown));
        }
        $options += self::DEFAULTS;
        $this->options = $options;
        $this->client = $client instanceof Client ? $client : new Client($client);
        $this->encoding = new Encoding($options['serializer'], $options['compression'], $options['compress_above']);
        if (!is_string($options['prefix']) || strlen($options['prefix']) > self::MAX_PREFIX_LEN
            || !preg_match('/^[!-~]*$/D', $options['prefix'])) {
            throw new InvalidOption('The prefix of a cache is at most ' . self::MAX_PREFIX_LEN
                . ' printable ASCII characters');
        }
        if ($options['default_ttl'] !== null && (!is_int($options['default_ttl']) || $options['default_ttl'] < 0)) {
            throw new InvalidOption('The default_ttl of a cache is a number of seconds, 0 for a value that never expires, or null');
        }
        if (!in_array($options['clear'], ['prefix', 'flush'], true)) {
            throw new InvalidOption('The option clear of a cache is prefix or flush');
        }
        if ($options['on_failure'] !== null && !is_callable($options['on_failure'])) {
            throw new InvalidOption('The option on_failure of a cache is a callable, or null');
        }
    }

    /**
     * @param string $key
     * @param mixed $value
     * @param null|int|\DateInterval $ttl
     */
    public function set($key, $value, $ttl = null): bool
    {
        return $this->store([self::checked($key) => $value], $ttl);
    }

    /**
     * @param string $key
     */
    public function delete($key): bool
    {
        $key = $this->serverKey(self::checked($key));
        return $this->attempt(function () use ($key) {
            $this->client->delete($key);
        });
    }

    public function clear(): bool
    {
        return $this->attempt(function () {
            if ($this->options['clear'] === 'flush') {
                $this->client->flush();
            } else {
                $this->generation = null;
                $this->client->set($this->options['prefix'] . self::GENERATION_KEY, self::newGeneration(), self::FOR_EVER);
            }
        });
    }

    /**
     * @param iterable $keys
     * @param mixed $default
     */
    public function getMultiple($keys, $default = null): array
    {
        $values = [];
        foreach (self::listed($keys) as $key) {
            $values[self::checked($key)] = $default;
        }
        // An array makes integers of keys such as "7".
        foreach ($this->fetch(array_map('strval', array_keys($values))) as $key => $value) {
            $values[$key] = $value;
        }
        return $values;
    }

    /**
     * @param iterable $values
     * @param null|int|\DateInterval $ttl
     */
    public function setMultiple($values, $ttl = null): bool
    {
        if (!is_array($values) && !$values instanceof \Traversable) {
            throw new InvalidCacheArgument('the values are an array or Traversable, not ' . self::typeOf($values));
        }
        $checked = [];
        foreach ($values as $key => $value) {
            $checked[self::checked(is_int($key) ? (string) $key : $key)] = $value;
        }
        return $this->store($checked, $ttl);
    }

    /**
     * @param iterable $keys
     */
    public function deleteMultiple($keys): bool
    {
        $serverKeys = [];
        foreach (self::listed($keys) as $key) {
            $serverKeys[] = $this->serverKey(self::checked($key));
        }
        return $this->attempt(function () use ($serverKeys) {
            if ($serverKeys) {
                $this->client->deleteMultiple($serverKeys);
            }
        });
    }

    /**
     * @param string $key
     */
    public function has($key): bool
    {
        return (bool) $this->fetch([self::checked($key)]);
    }

    /** What get() does. */
    protected function valueOf($key, $default)
    {
        $found = $this->fetch([self::checked($key)]);
        return $found ? reset($found) : $default;
    }

    /** The values that are there, by key. */
    private function fetch(array $keys)
    {
        if (!$keys) {
            return [];
        }
        $serverKeys = array_map([$this, 'serverKey'], $keys);
        $isByGeneration = $this->options['clear'] === 'prefix';
        $generationKey = $this->options['prefix'] . self::GENERATION_KEY;
        $found = [];
        $this->attempt(function () use ($serverKeys, $isByGeneration, $generationKey, &$found) {
            $found = $this->client->getMultiple(
                $isByGeneration ? array_merge([$generationKey], $serverKeys) : $serverKeys
            );
            $this->generation = isset($found[$generationKey]) ? $found[$generationKey] : null;
        });
        $generation = $isByGeneration ? $this->generation : '';
        $values = [];
        foreach ($generation === null ? [] : $keys as $i => $key) {
            if (isset($found[$serverKeys[$i]])) {
                $this->attempt(function () use ($generation, $found, $serverKeys, $i, $key, &$values) {
                    $bytes = $found[$serverKeys[$i]];
                    if (strncmp($bytes, $generation, strlen($generation)) === 0) {
                        $values[$key] = $this->encoding->decode((string) substr($bytes, strlen($generation)));
                    }
                });
            }
        }
        return $values;
    }

    private function store(array $values, $ttl)
    {
        $secs = $ttl === null ? $this->options['default_ttl'] : self::seconds($ttl);
        if ($ttl !== null && $secs <= 0) {
            return $this->deleteMultiple(array_map('strval', array_keys($values)));
        }
        return $this->attempt(function () use ($values, $secs) {
            $generation = $values ? $this->generationToWrite() : '';
            $pairs = [];
            foreach ($values as $key => $value) {
                $pairs[$this->serverKey((string) $key)] = $generation . $this->encoding->encode($value);
            }
            if (count($pairs) === 1) {
                $this->client->set(key($pairs), reset($pairs), $secs);
            } elseif ($pairs) {
                $this->client->setMultiple($pairs, $secs);
            }
        });
    }

    /** The current one may be newer; then the stored value counts as stored before clear(). */
    private function generationToWrite()
    {
        if ($this->options['clear'] === 'flush') {
            return '';
        }
        if ($this->generation === null) {
            $key = $this->options['prefix'] . self::GENERATION_KEY;
            $this->generation = $this->client->get($key);
            if ($this->generation === null) {
                $this->client->add($key, self::newGeneration(), self::FOR_EVER);
                // Another process may have been first.
                $this->generation = $this->client->get($key);
            }
        }
        return (string) $this->generation;
    }

    private static function newGeneration()
    {
        return bin2hex(random_bytes(self::GENERATION_LEN / 2));
    }

    private function serverKey($key)
    {
        $isPlain = preg_match('/^[!-~]+$/D', $key) && strlen($this->options['prefix']) + strlen($key) <= self::MAX_KEY_LEN;
        return $this->options['prefix'] . ($isPlain ? $key : self::HASHED . hash('sha256', $key));
    }

    private static function seconds($ttl)
    {
        if (is_int($ttl)) {
            return $ttl;
        }
        if ($ttl instanceof \DateInterval) {
            $now = new \DateTimeImmutable();
            return $now->add($ttl)->getTimestamp() - $now->getTimestamp();
        }
        throw new InvalidCacheArgument('a TTL is a number of seconds, a DateInterval or null, not '
            . self::typeOf($ttl));
    }

    /** Whether it was done. A key that is wrong is found before; what fails in here is a failure of the cache. */
    private function attempt(callable $operation)
    {
        try {
            $operation();
            return true;
        } catch (\Exception $failure) {
            if ($this->options['on_failure'] !== null) {
                call_user_func($this->options['on_failure'], $failure);
            }
            return false;
        }
    }

    private static function listed($keys)
    {
        if (!is_array($keys) && !$keys instanceof \Traversable) {
            throw new InvalidCacheArgument('the keys are an array or Traversable, not ' . self::typeOf($keys));
        }
        return $keys;
    }

    private static function checked($key)
    {
        if (!is_string($key)) {
            throw new InvalidCacheArgument('a key is a string, not ' . self::typeOf($key));
        }
        if ($key === '') {
            throw new InvalidCacheArgument('a key cannot be empty');
        }
        if (strpbrk($key, self::RESERVED) !== false) {
            throw new InvalidCacheArgument('a key has none of the characters ' . self::RESERVED);
        }
        return $key;
    }

    private static function typeOf($value)
    {
        return is_object($value) ? get_class($value) : gettype($value);
    }
}
