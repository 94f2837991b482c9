<?php

namespace Sharedance;

use Sharedance\Exception\InvalidArgument;
use Sharedance\Exception\InvalidKey;
use Sharedance\Wire\Meta;

/**
 * Checks the arguments of Client, whose values never get into a message.
 */
final class Argument
{
    const MAX_KEY_LEN = 250;
    /** Of keys that are sent in base64. */
    const MAX_ENCODED_KEY_LEN = 186;

    /**
     * @param mixed $key a string, or an integer: PHP makes one of a numeric key of an array
     * @return string
     * @throws InvalidKey
     */
    public static function key(
        #[\SensitiveParameter]
        $key
    ) {
        if (!is_string($key) && !is_int($key)) {
            throw new InvalidKey('a key is a string, not ' . self::typeOf($key));
        }
        $key = (string) $key;
        if ($key === '') {
            throw new InvalidKey('a key cannot be empty');
        }
        if (strlen($key) > self::MAX_KEY_LEN) {
            throw new InvalidKey('a key has at most ' . self::MAX_KEY_LEN . ' bytes, this one has ' . strlen($key));
        }
        if (strlen($key) > self::MAX_ENCODED_KEY_LEN && !Meta::isPlain($key)) {
            throw new InvalidKey('a key with spaces or control characters has at most ' . self::MAX_ENCODED_KEY_LEN
                . ' bytes, this one has ' . strlen($key));
        }
        return $key;
    }

    /**
     * @param mixed $key
     * @return string a key that can be locked
     * @throws InvalidKey
     */
    public static function lockKey(
        #[\SensitiveParameter]
        $key
    ) {
        $key = self::key($key);
        if (!Meta::isPlain($key)) {
            throw new InvalidKey('a key that is locked has neither spaces nor control characters');
        }
        return $key;
    }

    /**
     * @param mixed $value
     * @return string
     * @throws InvalidArgument
     */
    public static function value(
        #[\SensitiveParameter]
        $value
    ) {
        if (!is_string($value) && !is_int($value)) {
            throw new InvalidArgument('a value is a string or an integer, not ' . self::typeOf($value)
                . '; serialize it, or use Sharedance\Psr16Cache');
        }
        return (string) $value;
    }

    /**
     * @param mixed $ttl seconds, or a DateInterval; null for the default
     * @param int $default
     * @return string an expiration time of the text dialect: 0 never expires, and less than 0 has expired
     * @throws InvalidArgument
     */
    public static function exptime($ttl, $default)
    {
        if ($ttl instanceof \DateInterval) {
            $now = new \DateTimeImmutable('@' . time());
            $secs = $now->add($ttl)->getTimestamp() - $now->getTimestamp();
            return $secs > 0 ? Meta::exptime($secs) : Meta::EXPIRED;
        }
        if ($ttl !== null && !is_int($ttl)) {
            throw new InvalidArgument('a TTL is a number of seconds (int), a DateInterval or null, not '
                . self::typeOf($ttl));
        }
        $secs = $ttl === null ? $default : $ttl;
        return $secs < 0 ? Meta::EXPIRED : Meta::exptime($secs);
    }

    /**
     * @param mixed $version
     * @return string
     * @throws InvalidArgument
     */
    public static function version($version)
    {
        if (!(is_string($version) || is_int($version)) || !preg_match('/^[1-9][0-9]{0,19}$/D', (string) $version)) {
            throw new InvalidArgument('a version is what gets() returned with the value');
        }
        return (string) $version;
    }

    /**
     * @param mixed $number
     * @return string a number from 0 up
     * @throws InvalidArgument
     */
    public static function number($number)
    {
        if (!(is_string($number) || is_int($number)) || !preg_match('/^[0-9]{1,20}$/D', (string) $number)) {
            throw new InvalidArgument('a counter and its steps are whole numbers from 0 up');
        }
        return (string) $number;
    }

    /**
     * @param mixed $secs
     * @param float $least
     * @param float $most
     * @return float
     * @throws InvalidArgument
     */
    public static function secs($secs, $least, $most)
    {
        if (!(is_int($secs) || is_float($secs)) || $secs < $least || $secs > $most) {
            throw new InvalidArgument('a time is a number of seconds from ' . $least . ' to ' . $most);
        }
        return (float) $secs;
    }

    private static function typeOf(
        #[\SensitiveParameter]
        $value
    ) {
        return is_object($value) ? 'an object' : gettype($value);
    }
}
