<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

use function array_diff_key;
use function array_filter;
use function array_key_exists;
use function array_keys;
use function array_values;
use function ceil;
use function constant;
use function defined;
use function getenv;
use function implode;
use function is_array;
use function is_string;
use function preg_match;
use function preg_split;

/**
 * The settings, each from the most specific place that has it: the constructor's array, constants (SHAREDANCE_HOST ...)
 * defined before, the environment (the same names), the defaults.
 */
final class Options
{
    /** The settings and their constants; the variables of the environment have the same names. */
    const NAMES = self::COMMON_NAMES + self::TLS_NAMES;
    const COMMON_NAMES = [
        'host' => 'SHAREDANCE_HOST',
        'port' => 'SHAREDANCE_PORT',
        'servers' => 'SHAREDANCE_SERVERS',
        'prefix' => 'SHAREDANCE_PREFIX',
        'connect_timeout' => 'SHAREDANCE_CONNECT_TIMEOUT',
        'timeout' => 'SHAREDANCE_TIMEOUT',
        'max_size' => 'SHAREDANCE_MAX_SIZE',
        'persistent' => 'SHAREDANCE_PERSISTENT',
        'locking' => 'SHAREDANCE_LOCKING',
        'lock_wait' => 'SHAREDANCE_LOCK_WAIT',
        'lock_ttl' => 'SHAREDANCE_LOCK_TTL',
        'lock_failure' => 'SHAREDANCE_LOCK_FAILURE',
        'ttl' => 'SHAREDANCE_TTL',
        'protocol' => 'SHAREDANCE_PROTOCOL',
        'user' => 'SHAREDANCE_USER',
        'password' => 'SHAREDANCE_PASSWORD',
    ];
    /** Outside of the constructor's array these are read only where a server has TLS: each costs a page time. */
    const TLS_NAMES = [
        'tls_ca' => 'SHAREDANCE_TLS_CA',
        'tls_cert' => 'SHAREDANCE_TLS_CERT',
        'tls_key' => 'SHAREDANCE_TLS_KEY',
        'tls_peer_name' => 'SHAREDANCE_TLS_PEER_NAME',
    ];
    const DEFAULTS = [
        'prefix' => 'sess-',
        'connect_timeout' => 1.0,
        'timeout' => 5.0,
        'max_size' => 33554432,
        'persistent' => true,
        'locking' => true,
        'lock_wait' => 30.0,
        'lock_ttl' => null,
        'lock_failure' => self::FAIL,
        'ttl' => null,
        'protocol' => self::AUTO,
        'user' => null,
        'password' => null,
        'tls_ca' => null,
        'tls_cert' => null,
        'tls_key' => null,
        'tls_peer_name' => null,
    ];
    const DEFAULT_HOST = 'localhost';
    const DEFAULT_PORT = 1042;
    /** Policies for a lock that another request does not release in time. */
    const FAIL = 'fail';
    const READ_ONLY = 'read-only';
    /** Protocols. */
    const AUTO = 'auto';
    const MEMCACHED = 'memcached';
    const CLASSIC = 'classic';

    /** Leaves room for the id of a session in the 250 bytes of a key. */
    const MAX_PREFIX_LEN = 200;
    const MIN_TIMEOUT_SECS = 0.001;
    const MAX_TIMEOUT_SECS = 3600;
    const MAX_LOCK_TTL_SECS = 86400;
    /** 10 years. */
    const MAX_TTL_SECS = 315360000;
    /** The smallest that a server can be configured to accept. */
    const MIN_MAX_SIZE = 10;
    /** The largest integer of a 32-bit PHP. */
    const MOST_MAX_SIZE = 2147483647;

    private $servers = [];
    private $values;

    /**
     * @param array $settings named like the constants without SHAREDANCE_, in lower case: host, port, servers, prefix,
     *     connect_timeout, timeout, max_size, persistent, locking, lock_wait, lock_ttl, lock_failure, ttl, protocol,
     *     user, password, tls_ca, tls_cert, tls_key, tls_peer_name
     * @throws InvalidOption
     */
    public function __construct(array $settings = [])
    {
        $unknown = array_diff_key($settings, self::NAMES);
        if ($unknown) {
            throw new InvalidOption('Unknown setting: ' . implode(', ', array_keys($unknown)));
        }
        list($constants, $environment) = self::outside($settings, self::COMMON_NAMES);
        if (!isset($constants['host']) && defined('SESSION_HANDLER_HOST')) {
            $constants['host'] = constant('SESSION_HANDLER_HOST');
        }
        if (isset($environment['port'])) {
            $environment = self::withoutServiceLink($environment);
        }
        $this->values = self::DEFAULTS;
        $this->parseAll($settings + $constants + $environment);
        $this->findServers([$settings, $constants, $environment]);
        foreach ($this->servers as $server) {
            if ($server->isTls()) {
                list($constants, $environment) = self::outside($settings, self::TLS_NAMES);
                $this->parseAll($constants + $environment);
                break;
            }
        }
        $this->checkCombinations();
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
        return $this->values['prefix'];
    }

    /**
     * @return float seconds to connect
     */
    public function connectTimeoutSecs()
    {
        return $this->values['connect_timeout'];
    }

    /**
     * @return float seconds for a request and its response
     */
    public function timeoutSecs()
    {
        return $this->values['timeout'];
    }

    /**
     * @return int bytes of the largest request, and of the largest response
     */
    public function maxSize()
    {
        return $this->values['max_size'];
    }

    /**
     * @return bool whether a connection is kept from one PHP request to the next
     */
    public function isPersistent()
    {
        return $this->values['persistent'];
    }

    /**
     * @return bool whether a session is locked while a page uses it
     */
    public function isLocking()
    {
        return $this->values['locking'];
    }

    /**
     * @return float seconds to wait for a lock that another request holds
     */
    public function lockWaitSecs()
    {
        return $this->values['lock_wait'];
    }

    /**
     * @return int|null seconds after which the server releases a lock; null where it follows from max_execution_time
     */
    public function lockTtlSecs()
    {
        return $this->values['lock_ttl'];
    }

    /**
     * @return string FAIL or READ_ONLY: what happens to a session whose lock was not released in time
     */
    public function lockFailure()
    {
        return $this->values['lock_failure'];
    }

    /**
     * @return int|null seconds that a session or value lives; null where it was not set
     */
    public function ttlSecs()
    {
        return $this->values['ttl'];
    }

    /**
     * @return string AUTO, MEMCACHED or CLASSIC
     */
    public function protocol()
    {
        return $this->values['protocol'];
    }

    /**
     * @return string|null
     */
    public function user()
    {
        return $this->values['user'];
    }

    /**
     * @return string
     */
    public function password()
    {
        return (string) $this->values['password'];
    }

    /**
     * @return array the options of PHP's "ssl" stream context, for tls:// servers
     */
    public function tlsContext()
    {
        return array_filter([
            'cafile' => $this->values['tls_ca'],
            'local_cert' => $this->values['tls_cert'],
            'local_pk' => $this->values['tls_key'],
            'peer_name' => $this->values['tls_peer_name'],
        ], 'is_string');
    }

    /** What a dump of this object may show: never the password. */
    public function __debugInfo()
    {
        $shown = $this->values;
        unset($shown['password']);
        return ['servers' => array_keys($this->servers)] + $shown;
    }

    /** The constants that are defined, and the variables of the environment, of what the array does not have. */
    private static function outside(array $settings, array $names)
    {
        $constants = $environment = [];
        foreach ($names as $name => $constant) {
            if (isset($settings[$name])) {
                continue;
            }
            if (defined($constant)) {
                $constants[$name] = constant($constant);
                continue;
            }
            $value = getenv($constant);
            // Empty means unset, except for the prefix, which can be empty.
            if ($value !== false && ($value !== '' || $name === 'prefix')) {
                $environment[$name] = $value;
            }
        }
        return [$constants, $environment];
    }

    private function parseAll(
        #[\SensitiveParameter]
        array $settings
    ) {
        foreach ($settings as $name => $value) {
            if ($value !== null && array_key_exists($name, self::DEFAULTS)) {
                $this->values[$name] = self::parse($name, $value);
            }
        }
    }

    /**
     * Kubernetes gives every pod SHAREDANCE_PORT=tcp://10.0.0.1:1042 where a service has the name "sharedance". Such an
     * address is used where the environment names no other server; the port is the service's own.
     */
    private static function withoutServiceLink(array $environment)
    {
        if (preg_match('~^(tcp|udp)://(\S+):([0-9]+)$~D', $environment['port'], $link)) {
            unset($environment['port']);
            if ($link[1] === 'tcp' && !isset($environment['host']) && !isset($environment['servers'])) {
                $environment['host'] = $link[2] . ':' . $link[3];
            }
        }
        return $environment;
    }

    private static function parse(
        $name,
        #[\SensitiveParameter]
        $value
    ) {
        switch ($name) {
            case 'prefix':
                return self::parsePrefix($value);
            case 'connect_timeout':
            case 'timeout':
                return Setting::seconds($name, $value, self::MIN_TIMEOUT_SECS, self::MAX_TIMEOUT_SECS);
            case 'max_size':
                return Setting::bytes($name, $value, self::MIN_MAX_SIZE, self::MOST_MAX_SIZE);
            case 'persistent':
            case 'locking':
                return Setting::flag($name, $value);
            case 'lock_wait':
                return Setting::seconds($name, $value, 0, self::MAX_TIMEOUT_SECS);
            case 'lock_ttl':
                return (int) ceil(Setting::seconds($name, $value, 1, self::MAX_LOCK_TTL_SECS));
            case 'lock_failure':
                return Setting::choice($name, $value, [self::FAIL, self::READ_ONLY]);
            case 'ttl':
                return (int) ceil(Setting::seconds($name, $value, 1, self::MAX_TTL_SECS));
            case 'protocol':
                return Setting::choice($name, $value, [self::AUTO, self::MEMCACHED, self::CLASSIC]);
            case 'tls_ca':
            case 'tls_cert':
            case 'tls_key':
                return Setting::file($name, $value);
            default:
                return Setting::line($name, $value);
        }
    }

    private static function parsePrefix($prefix)
    {
        if (!is_string($prefix) || !preg_match('~^[!-\~]{0,' . self::MAX_PREFIX_LEN . '}$~D', $prefix)) {
            throw Setting::invalid('prefix', $prefix, 'at most ' . self::MAX_PREFIX_LEN
                . ' printable ASCII characters without spaces');
        }
        return $prefix;
    }

    private function checkCombinations()
    {
        foreach (['tls_key' => 'tls_cert', 'password' => 'user'] as $name => $needed) {
            if ($this->values[$name] !== null && $this->values[$needed] === null) {
                throw new InvalidOption('Setting ' . $name . ' (' . self::NAMES[$name] . ') needs ' . $needed . ' as well');
            }
        }
    }

    /** Several servers or one host: those of the most specific place that has either; within a place, several win. */
    private function findServers(array $places)
    {
        $port = $specs = null;
        foreach ($places as $place) {
            if (isset($place['port'])) {
                $port = Setting::integer('port', $place['port'], 1, Server::MAX_PORT);
                break;
            }
        }
        $port = $port ?: self::DEFAULT_PORT;
        foreach ($places as $place) {
            if (isset($place['servers'])) {
                $specs = is_array($place['servers'])
                    ? $place['servers'] : preg_split('/[\s,]+/', $place['servers'], -1, PREG_SPLIT_NO_EMPTY);
                if (!$specs) {
                    throw new InvalidOption('Setting servers (' . self::NAMES['servers'] . '): the list is empty');
                }
                break;
            }
            if (isset($place['host'])) {
                $specs = [$place['host']];
                break;
            }
        }
        foreach ($specs === null ? [self::DEFAULT_HOST] : $specs as $spec) {
            $server = Server::parse($spec, $port);
            $this->servers[$server->address()] = $server;
        }
    }
}
