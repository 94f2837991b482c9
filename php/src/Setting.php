<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

use function ceil;
use function floor;
use function gettype;
use function implode;
use function in_array;
use function is_bool;
use function is_float;
use function is_int;
use function is_readable;
use function is_scalar;
use function is_string;
use function preg_match;
use function preg_replace;
use function strpos;
use function strtolower;
use function strtoupper;
use function substr;
use function trim;

/**
 * Reads the value of one setting: each method returns what Options keeps, or throws InvalidOption with the name of the
 * setting, what was found and what is possible. Values come from arrays, constants and the environment, so numbers
 * arrive as numbers or as text.
 */
final class Setting
{
    const SECONDS_PER_UNIT = ['ms' => 0.001, 's' => 1, '' => 1, 'm' => 60, 'min' => 60, 'h' => 3600, 'd' => 86400];
    const BYTES_PER_UNIT = ['' => 1, 'b' => 1, 'k' => 1024, 'm' => 1048576, 'g' => 1073741824];
    const FLAGS = [
        '1' => true, 'on' => true, 'yes' => true, 'true' => true,
        '0' => false, 'off' => false, 'no' => false, 'false' => false, '' => false,
    ];

    /**
     * @param string $name one that Options has, other than host, port and servers
     * @param mixed $value
     * @return mixed what Options keeps
     * @throws InvalidOption
     */
    public static function parse(
        $name,
        #[\SensitiveParameter]
        $value
    ) {
        switch ($name) {
            case 'prefix':
                return self::parsePrefix($value);
            case 'connect_timeout':
            case 'timeout':
                return self::seconds($name, $value, Options::MIN_TIMEOUT_SECS, Options::MAX_TIMEOUT_SECS);
            case 'max_size':
                return self::bytes($name, $value, Options::MIN_MAX_SIZE, Options::MOST_MAX_SIZE);
            case 'persistent':
            case 'locking':
                return self::flag($name, $value);
            case 'lock_wait':
                return self::seconds($name, $value, 0, Options::MAX_TIMEOUT_SECS);
            case 'lock_ttl':
                return (int) ceil(self::seconds($name, $value, 1, Options::MAX_LOCK_TTL_SECS));
            case 'lock_failure':
                return self::choice($name, $value, [Options::FAIL, Options::READ_ONLY]);
            case 'ttl':
                return (int) ceil(self::seconds($name, $value, 1, Options::MAX_TTL_SECS));
            case 'protocol':
                return self::choice($name, $value, [Options::AUTO, Options::MEMCACHED, Options::CLASSIC]);
            case 'tls_ca':
            case 'tls_cert':
            case 'tls_key':
                return self::file($name, $value);
            default:
                return self::line($name, $value);
        }
    }

    /**
     * @param string $name
     * @param mixed $value 5, 0.5, "5s", "500ms", "2m", "1h" or "1d"
     * @param float $least
     * @param float $most
     * @return float
     * @throws InvalidOption
     */
    public static function seconds($name, $value, $least, $most)
    {
        $secs = self::quantity($value, self::SECONDS_PER_UNIT);
        if ($secs === null || $secs < $least || $secs > $most) {
            throw self::invalid($name, $value, 'a duration from ' . $least . ' to ' . $most
                . ' seconds, such as 5, 5s, 500ms, 2m or 1h');
        }
        return $secs;
    }

    /**
     * @param string $name
     * @param mixed $value 33554432, "512k", "32M", "32MB" or "1GiB"
     * @param int $least
     * @param int $most
     * @return int
     * @throws InvalidOption
     */
    public static function bytes($name, $value, $least, $most)
    {
        $plain = is_string($value) ? preg_replace('/(?<=[kmg])i?b$/iD', '', trim($value)) : $value;
        $bytes = self::quantity($plain, self::BYTES_PER_UNIT);
        if ($bytes === null || $bytes < $least || $bytes > $most || $bytes !== floor($bytes)) {
            throw self::invalid($name, $value, 'a size from ' . $least . ' to ' . $most
                . ' bytes, such as 1000000, 512k or 32M');
        }
        return (int) $bytes;
    }

    /**
     * @param string $name
     * @param mixed $value
     * @param int $least
     * @param int $most
     * @return int
     * @throws InvalidOption
     */
    public static function integer($name, $value, $least, $most)
    {
        $number = (int) (is_string($value) ? $value : 0);
        if ((string) $number === $value && $number >= $least && $number <= $most) {
            return $number;
        }
        $digits = is_int($value) || is_string($value) ? (string) $value : '';
        // Compared as a float first: more digits than an integer holds would be cut to its limit.
        if (!preg_match('/^[0-9]{1,18}$/D', $digits) || (float) $digits > $most || (int) $digits < $least) {
            throw self::invalid($name, $value, 'a whole number from ' . $least . ' to ' . $most);
        }
        return (int) $digits;
    }

    /**
     * @param string $name
     * @param mixed $value
     * @return bool
     * @throws InvalidOption
     */
    public static function flag($name, $value)
    {
        if (is_string($value) && isset(self::FLAGS[$value])) {
            return self::FLAGS[$value];
        }
        $text = is_bool($value) ? (string) (int) $value : (is_scalar($value) ? strtolower((string) $value) : null);
        if ($text === null || !isset(self::FLAGS[$text])) {
            throw self::invalid($name, $value, 'on or off');
        }
        return self::FLAGS[$text];
    }

    /**
     * @param string $name
     * @param mixed $value
     * @param string[] $choices
     * @return string
     * @throws InvalidOption
     */
    public static function choice($name, $value, array $choices)
    {
        $text = is_string($value) ? strtolower($value) : '';
        if (!in_array($text, $choices, true)) {
            throw self::invalid($name, $value, implode(' or ', $choices));
        }
        return $text;
    }

    /**
     * @param string $name
     * @param mixed $value
     * @return string a file that this process can read
     * @throws InvalidOption
     */
    public static function file($name, $value)
    {
        if (!is_string($value) || strpos($value, "\0") !== false || !is_readable($value)) {
            throw self::invalid($name, $value, 'a file that PHP can read');
        }
        return $value;
    }

    /**
     * Credentials and names. The value is not in the message.
     *
     * @param string $name
     * @param mixed $value
     * @return string
     * @throws InvalidOption
     */
    public static function line(
        $name,
        #[\SensitiveParameter]
        $value
    ) {
        if (!is_scalar($value) || !preg_match('/^[^\x00-\x1f]{1,200}$/D', (string) $value)) {
            throw new InvalidOption('Setting ' . $name . ' (SHAREDANCE_' . strtoupper($name)
                . ') is not one line of 1 to 200 bytes');
        }
        return (string) $value;
    }

    /**
     * @param string $name
     * @param mixed $value
     * @param string $expected
     * @return InvalidOption
     */
    public static function invalid($name, $value, $expected)
    {
        $found = is_scalar($value) ? '"' . preg_replace('/[^ -~]/', '?', substr((string) $value, 0, 80)) . '"'
            : gettype($value);
        return new InvalidOption('Setting ' . $name . ' (SHAREDANCE_' . strtoupper($name) . '): ' . $found . ' is not '
            . $expected);
    }

    private static function parsePrefix($prefix)
    {
        if (!is_string($prefix) || !preg_match('~^[!-\~]{0,' . Options::MAX_PREFIX_LEN . '}$~D', $prefix)) {
            throw self::invalid('prefix', $prefix, 'at most ' . Options::MAX_PREFIX_LEN
                . ' printable ASCII characters without spaces');
        }
        return $prefix;
    }

    private static function quantity($value, array $units)
    {
        if (is_int($value) || is_float($value)) {
            return (float) $value;
        }
        $isQuantity = is_string($value)
            && preg_match('/^\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-z]*)\s*$/iD', $value, $found);
        return $isQuantity && isset($units[strtolower($found[2])])
            ? (float) $found[1] * $units[strtolower($found[2])] : null;
    }
}
