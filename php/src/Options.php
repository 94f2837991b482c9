<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

/**
 * The settings, from the most specific place that has them: the constructor, constants (SHAREDANCE_HOST ...) defined
 * before, the environment (the same names), the defaults.
 */
final class Options
{
    const DEFAULTS = [
        'host' => 'localhost',
        'port' => 1042,
        'prefix' => 'sess-',
        'connect_timeout' => 1.0,
        'timeout' => 5.0,
        'max_size' => 33554432,
    ];
    /** Leaves room for the id of a session in the 250 bytes of a key. */
    const MAX_PREFIX_LEN = 200;
    const MAX_TIMEOUT_SECS = 3600;
    /** The smallest that a server can be told to take. */
    const MIN_MAX_SIZE = 10;
    /** What an integer of 32 bits can say. */
    const MOST_MAX_SIZE = 2147483647;

    private $places;
    private $servers;
    private $prefix;
    private $connectTimeoutSecs;
    private $timeoutSecs;
    private $maxSize;

    /**
     * @param array $settings named like the constants without SHAREDANCE_, in lower case: host, port, servers, prefix,
     *     connect_timeout, timeout, max_size
     * @throws InvalidOption
     */
    public function __construct(array $settings = [])
    {
        $unknown = array_diff(array_keys($settings), array_keys(self::DEFAULTS), ['servers']);
        if ($unknown) {
            throw new InvalidOption('Unknown setting: ' . implode(', ', $unknown));
        }
        $this->places = [$settings, self::constants(), self::environment(), self::DEFAULTS];
        $port = $this->integer('port', 1, Server::MAX_PORT);
        foreach ($this->serverSpecs() as $spec) {
            $server = Server::parse($spec, $port);
            $this->servers[$server->address()] = $server;
        }
        $this->prefix = (string) $this->find('prefix');
        if (strlen($this->prefix) > self::MAX_PREFIX_LEN || ($this->prefix !== '' && Classic::keyFault($this->prefix))) {
            throw new InvalidOption('The prefix is at most ' . self::MAX_PREFIX_LEN
                . ' printable ASCII characters, without . and /');
        }
        $this->connectTimeoutSecs = $this->seconds('connect_timeout');
        $this->timeoutSecs = $this->seconds('timeout');
        $this->maxSize = $this->integer('max_size', self::MIN_MAX_SIZE, self::MOST_MAX_SIZE);
    }

    /**
     * @return Server[] at least one
     */
    public function servers()
    {
        return array_values($this->servers);
    }

    /**
     * @return string what stands before the id in the key of a session
     */
    public function prefix()
    {
        return $this->prefix;
    }

    /**
     * @return float seconds to connect
     */
    public function connectTimeoutSecs()
    {
        return $this->connectTimeoutSecs;
    }

    /**
     * @return float seconds for a request and its answer
     */
    public function timeoutSecs()
    {
        return $this->timeoutSecs;
    }

    /**
     * @return int bytes of the largest request, and of the largest answer
     */
    public function maxSize()
    {
        return $this->maxSize;
    }

    private static function constants()
    {
        $found = [];
        foreach (self::names() as $setting => $name) {
            if (defined($name)) {
                $found[$setting] = constant($name);
            }
        }
        if (!isset($found['host']) && defined('SESSION_HANDLER_HOST')) {
            $found['host'] = constant('SESSION_HANDLER_HOST');
        }
        return $found;
    }

    private static function environment()
    {
        $found = [];
        foreach (self::names() as $setting => $name) {
            $value = getenv($name);
            // Empty means unset, but for the prefix, which can be empty.
            if ($value !== false && ($value !== '' || $setting === 'prefix')) {
                $found[$setting] = $value;
            }
        }
        return $found;
    }

    private static function names()
    {
        $names = ['servers' => 'SHAREDANCE_SERVERS'];
        foreach (array_keys(self::DEFAULTS) as $setting) {
            $names[$setting] = 'SHAREDANCE_' . strtoupper($setting);
        }
        return $names;
    }

    private function find($setting)
    {
        foreach ($this->places as $place) {
            if (isset($place[$setting])) {
                return $place[$setting];
            }
        }
        return null;
    }

    /** Several servers or one host: whichever stands in the most specific place; there, several win. */
    private function serverSpecs()
    {
        foreach ($this->places as $place) {
            if (isset($place['servers'])) {
                $specs = is_array($place['servers'])
                    ? $place['servers'] : preg_split('/[\s,]+/', $place['servers'], -1, PREG_SPLIT_NO_EMPTY);
                if (!$specs) {
                    throw new InvalidOption('The list of servers is empty');
                }
                return $specs;
            }
            if (isset($place['host'])) {
                return [(string) $place['host']];
            }
        }
    }

    private function integer($setting, $least, $most)
    {
        $value = $this->find($setting);
        $digits = is_int($value) || is_string($value) ? (string) $value : '';
        // Compared as a float first: more digits than an integer holds would be cut to its limit.
        if (!preg_match('/^[0-9]{1,18}$/D', $digits) || (float) $digits > $most || (int) $digits < $least) {
            throw new InvalidOption('The setting ' . $setting . ' is a whole number from ' . $least . ' to ' . $most);
        }
        return (int) $digits;
    }

    private function seconds($setting)
    {
        $value = $this->find($setting);
        if (!is_numeric($value) || $value <= 0 || $value > self::MAX_TIMEOUT_SECS) {
            throw new InvalidOption('The setting ' . $setting . ' is a number of seconds above 0 and up to '
                . self::MAX_TIMEOUT_SECS);
        }
        return (float) $value;
    }
}
