<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

use function array_diff_key;
use function array_filter;
use function array_keys;
use function array_values;
use function constant;
use function defined;
use function getenv;
use function implode;
use function is_array;
use function preg_match;
use function preg_split;
use function strpos;
use function strtoupper;

/**
 * The settings, each from the most specific place that has it: the constructor's array, constants (SHAREDANCE_HOST ...)
 * defined before, the environment (the same names), the defaults.
 */
final class Options
{
    /** The settings and their constants; the variables of the environment have the same names. */
    const NAMES = [
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
        'lock_failure' => 'fail',
        'ttl' => null,
        'protocol' => 'auto',
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

    /** Servers by their addresses. */
    private $servers = [];
    private $values = self::DEFAULTS;

    /**
     * @param array $settings named like the constants without SHAREDANCE_, in lower case: host, port, servers, prefix,
     *     connect_timeout, timeout, max_size, persistent, locking, lock_wait, lock_ttl, lock_failure, ttl, protocol,
     *     user, password, tls_ca, tls_cert, tls_key, tls_peer_name
     * @throws InvalidOption
     */
    public function __construct(array $settings = [])
    {
        $constants = $environment = [];
        foreach (self::NAMES as $name => $constant) {
            if (isset($settings[$name])) {
                continue;
            }
            if (defined($constant)) {
                $constants[$name] = constant($constant);
            } elseif (($text = getenv($constant)) !== false && ($text !== '' || $name === 'prefix')) {
                // Empty means unset, except for the prefix, which can be empty.
                $environment[$name] = $text;
            }
        }
        if (!isset($constants['host']) && defined('SESSION_HANDLER_HOST')) {
            $constants['host'] = constant('SESSION_HANDLER_HOST');
        }
        if (isset($environment['port']) && strpos($environment['port'], ':') !== false) {
            $environment = self::withoutServiceLink($environment);
        }
        $found = $settings + $constants + $environment;
        $this->findServers([$settings, $constants, $environment], isset($found['port']) ? $found['port'] : self::DEFAULT_PORT);
        unset($found['host'], $found['port'], $found['servers']);
        foreach ($this->servers as $server) {
            if ($server->isTls) {
                $found += self::tlsSettings();
            }
        }
        // Most installations set the host at most.
        if ($found) {
            $this->parse($found);
        }
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

    private static function tlsSettings()
    {
        $found = [];
        foreach (self::TLS_NAMES as $name => $constant) {
            $value = defined($constant) ? constant($constant) : getenv($constant);
            if ($value !== false && $value !== '') {
                $found[$name] = $value;
            }
        }
        return $found;
    }

    private function parse(
        #[\SensitiveParameter]
        array $found
    ) {
        $unknown = array_diff_key($found, self::DEFAULTS);
        if ($unknown) {
            throw new InvalidOption('Unknown setting: ' . implode(', ', array_keys($unknown)));
        }
        foreach ($found as $name => $value) {
            if ($value !== null) {
                $this->values[$name] = Setting::parse($name, $value);
            }
        }
        foreach (['tls_key' => 'tls_cert', 'password' => 'user'] as $name => $needed) {
            if ($this->values[$name] !== null && $this->values[$needed] === null) {
                throw new InvalidOption('Setting ' . $name . ' (SHAREDANCE_' . strtoupper($name) . ') needs ' . $needed
                    . ' as well');
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

    /** Several servers or one host: those of the most specific place that has either; within a place, several win. */
    private function findServers(array $places, $port)
    {
        if ($port !== (int) $port && $port !== (string) (int) $port || $port < 1 || $port > Server::MAX_PORT) {
            $port = Setting::integer('port', $port, 1, Server::MAX_PORT);
        }
        $specs = [self::DEFAULT_HOST];
        foreach ($places as $place) {
            if (isset($place['servers'])) {
                $specs = is_array($place['servers'])
                    ? $place['servers'] : preg_split('/[\s,]+/', $place['servers'], -1, PREG_SPLIT_NO_EMPTY);
                if (!$specs) {
                    throw new InvalidOption('Setting servers (SHAREDANCE_SERVERS): the list is empty');
                }
                break;
            }
            if (isset($place['host'])) {
                $specs = [$place['host']];
                break;
            }
        }
        foreach ($specs as $spec) {
            $server = Server::parse($spec, (int) $port);
            $this->servers[$server->address()] = $server;
        }
    }
}
