<?php

namespace Sharedance\Wire;

use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\VersionedValue;

use function base64_encode;
use function preg_match;
use function sprintf;
use function strlen;
use function time;

/**
 * The meta commands of the memcached text dialect, and the locks: requests as bytes, responses read from an exchange.
 *
 * A refusal (SERVER_ERROR, CLIENT_ERROR) is returned as an exception, since the connection is in order. Anything that is
 * no response to the request is thrown, and closes it.
 */
final class Meta
{
    /** Up to this many seconds an expiration time is relative, beyond it is a Unix time. */
    const MAX_RELATIVE_SECS = 2592000;
    const UNAUTHENTICATED = 'CLIENT_ERROR unauthenticated';
    const FOREVER = '0';
    const EXPIRED = '-1';
    /** The most that surrounds key and value of a set: command, length, flags, ends of lines. */
    const MAX_SET_OVERHEAD = 100;

    /**
     * @param string $key
     * @param string $flags
     * @return string
     */
    public static function get(
        #[\SensitiveParameter]
        $key,
        $flags
    ) {
        return 'mg ' . self::token($key) . ' ' . $flags . "\r\n";
    }

    /**
     * @param string $key
     * @param string $value
     * @param string $flags
     * @return string
     */
    public static function set(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value,
        $flags
    ) {
        // The flags of a token in base64 follow the length.
        list($token, $encoding) = self::isPlain($key) ? [$key, ''] : [base64_encode($key), ' b'];
        return 'ms ' . $token . ' ' . strlen($value) . $encoding . ' ' . $flags . "\r\n" . $value . "\r\n";
    }

    /**
     * @param string $key
     * @return string
     */
    public static function delete(
        #[\SensitiveParameter]
        $key
    ) {
        return 'md ' . self::token($key) . "\r\n";
    }

    /**
     * @param string $key
     * @param string $flags
     * @return string
     */
    public static function arithmetic(
        #[\SensitiveParameter]
        $key,
        $flags
    ) {
        return 'ma ' . self::token($key) . ' ' . $flags . "\r\n";
    }

    /**
     * @param string $key without control characters and spaces
     * @param float $waitSecs
     * @param int $ttlSecs
     * @return string
     */
    public static function lock(
        #[\SensitiveParameter]
        $key,
        $waitSecs,
        $ttlSecs
    ) {
        return 'lock ' . $key . ' ' . (int) ($waitSecs * 1000) . ' ' . $ttlSecs . "\r\n";
    }

    /**
     * @param string $key
     * @return string
     */
    public static function unlock(
        #[\SensitiveParameter]
        $key
    ) {
        return 'unlock ' . $key . "\r\n";
    }

    /**
     * @param string $key
     * @return bool whether a line of the text dialect can contain it unchanged
     */
    public static function isPlain(
        #[\SensitiveParameter]
        $key
    ) {
        return !preg_match('/[\x00-\x20\x7f]/', $key);
    }

    /**
     * @param int $secs
     * @return string as the dialect has it: what is longer than 30 days is a date
     */
    public static function exptime($secs)
    {
        if ($secs <= self::MAX_RELATIVE_SECS) {
            return (string) $secs;
        }
        return sprintf('%.0F', (float) time() + $secs);
    }

    /**
     * @param Exchange $exchange
     * @return VersionedValue|SharedanceException|null what "mg ... v c" found
     */
    public static function readVersioned(Exchange $exchange)
    {
        $line = $exchange->line();
        if ($line === 'EN') {
            return null;
        }
        if (!preg_match('/^VA ([0-9]{1,10}) c([0-9]{1,20})$/D', $line, $found)) {
            return self::refusal($line);
        }
        return new VersionedValue($exchange->block((int) $found[1]), $found[2]);
    }

    /**
     * @param Exchange $exchange
     * @return string|SharedanceException|null what "mg ... v" or "ma ... v" found
     */
    public static function readValue(Exchange $exchange)
    {
        $line = $exchange->line();
        if ($line === 'EN' || $line === 'NF') {
            return null;
        }
        if (!preg_match('/^VA ([0-9]{1,10})$/D', $line, $found)) {
            return self::refusal($line);
        }
        return $exchange->block((int) $found[1]);
    }

    /**
     * @param Exchange $exchange
     * @return string|SharedanceException HD, EN, NF, NS or EX
     */
    public static function readStatus(Exchange $exchange)
    {
        $line = $exchange->line();
        switch ($line) {
            case 'HD':
            case 'EN':
            case 'NF':
            case 'NS':
            case 'EX':
                return $line;
            default:
                return self::refusal($line);
        }
    }

    /**
     * @param Exchange $exchange
     * @return bool|SharedanceException whether the lock was granted
     */
    public static function readLock(Exchange $exchange)
    {
        $line = $exchange->line();
        return $line === 'LOCKED' ? true : ($line === 'TIMEOUT' ? false : self::refusal($line));
    }

    /**
     * @param Exchange $exchange
     * @return bool|SharedanceException whether this connection held the lock
     */
    public static function readUnlock(Exchange $exchange)
    {
        $line = $exchange->line();
        return $line === 'UNLOCKED' ? true : ($line === 'NOT_FOUND' ? false : self::refusal($line));
    }

    /**
     * @param string $line
     * @return SharedanceException
     * @throws UnexpectedReply
     */
    public static function refusal(
        #[\SensitiveParameter]
        $line
    ) {
        if ($line === 'SERVER_ERROR object too large for cache') {
            return new TooLarge('the value is larger than the server accepts (--maxreadsize)');
        }
        if ($line === self::UNAUTHENTICATED) {
            return new Refused('the server requires a user and a password (SHAREDANCE_USER, SHAREDANCE_PASSWORD)');
        }
        if (preg_match('/^(?:SERVER|CLIENT)_ERROR [ -~]{1,200}$/D', $line)) {
            return new Refused('the server refuses it: ' . $line);
        }
        if ($line === 'ERROR') {
            throw new UnexpectedReply('the server does not know a command of this library: its version is older, or it is'
                . ' another server');
        }
        throw new UnexpectedReply('it does not respond like a Sharedance server');
    }

    private static function token(
        #[\SensitiveParameter]
        $key
    ) {
        return self::isPlain($key) ? $key : base64_encode($key) . ' b';
    }
}
