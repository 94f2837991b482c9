<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

/**
 * The settings, each from the most specific place that has it: the constructor's array, constants (SHAREDANCE_HOST ...)
 * defined before, the environment (the same names), the defaults.
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
        'persistent' => true,
        'locking' => true,
        'lock_wait' => 30.0,
        'lock_failure' => self::FAIL,
        'protocol' => self::AUTO,
    ];
    /** Settings that may be absent. */
    const OPTIONAL = [
        'servers', 'lock_ttl', 'ttl', 'user', 'password', 'tls_ca', 'tls_cert', 'tls_key', 'tls_peer_name',
    ];
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

    private $places;
    private $servers = [];
    private $values = [];

    /**
     * @param array $settings named like the constants without SHAREDANCE_, in lower case: host, port, servers, prefix,
     *     connect_timeout, timeout, max_size, persistent, locking, lock_wait, lock_ttl, lock_failure, ttl, protocol,
     *     user, password, tls_ca, tls_cert, tls_key, tls_peer_name
     * @throws InvalidOption
     */
    public function __construct(array $settings = [])
    {
        $names = array_merge(array_keys(self::DEFAULTS), self::OPTIONAL);
        $unknown = array_diff(array_keys($settings), $names);
        if ($unknown) {
            throw new InvalidOption('Unknown setting: ' . implode(', ', $unknown));
        }
        $this->places = [$settings, self::constants($names), self::environment($names), self::DEFAULTS];
        $port = Setting::integer('port', $this->find('port'), 1, Server::MAX_PORT);
        foreach ($this->serverSpecs() as $spec) {
            $server = Server::parse($spec, $port);
            $this->servers[$server->address()] = $server;
        }
        $this->values = $this->read();
        $this->places = null;
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
        return $this->values['tls'];
    }

    /** What a dump of this object may show: never the password. */
    public function __debugInfo()
    {
        $shown = $this->values;
        unset($shown['password']);
        return ['servers' => array_keys($this->servers)] + $shown;
    }

    private function read()
    {
        $most = self::MAX_TIMEOUT_SECS;
        $tls = array_filter([
            'cafile' => Setting::file('tls_ca', $this->find('tls_ca')),
            'local_cert' => Setting::file('tls_cert', $this->find('tls_cert')),
            'local_pk' => Setting::file('tls_key', $this->find('tls_key')),
            'peer_name' => $this->text('tls_peer_name'),
        ], 'is_string');
        if (isset($tls['local_pk']) && !isset($tls['local_cert'])) {
            throw new InvalidOption('Setting tls_key (SHAREDANCE_TLS_KEY) needs tls_cert as well');
        }
        if ($this->find('password') !== null && $this->find('user') === null) {
            throw new InvalidOption('Setting password (SHAREDANCE_PASSWORD) needs user as well');
        }
        return [
            'prefix' => $this->readPrefix(),
            'connect_timeout' => $this->seconds('connect_timeout', self::MIN_TIMEOUT_SECS, $most),
            'timeout' => $this->seconds('timeout', self::MIN_TIMEOUT_SECS, $most),
            'max_size' => Setting::bytes('max_size', $this->find('max_size'), self::MIN_MAX_SIZE, self::MOST_MAX_SIZE),
            'persistent' => Setting::flag('persistent', $this->find('persistent')),
            'locking' => Setting::flag('locking', $this->find('locking')),
            'lock_wait' => $this->seconds('lock_wait', 0, $most),
            'lock_ttl' => $this->wholeSeconds('lock_ttl', self::MAX_LOCK_TTL_SECS),
            'lock_failure' => Setting::choice(
                'lock_failure',
                $this->find('lock_failure'),
                [self::FAIL, self::READ_ONLY]
            ),
            'ttl' => $this->wholeSeconds('ttl', self::MAX_TTL_SECS),
            'protocol' => Setting::choice(
                'protocol',
                $this->find('protocol'),
                [self::AUTO, self::MEMCACHED, self::CLASSIC]
            ),
            'user' => $this->text('user'),
            'password' => $this->text('password'),
            'tls' => $tls,
        ];
    }

    private function readPrefix()
    {
        $prefix = $this->find('prefix');
        if (!is_string($prefix) || !preg_match('~^[!-\~]{0,' . self::MAX_PREFIX_LEN . '}$~D', $prefix)) {
            throw Setting::invalid('prefix', $prefix, 'at most ' . self::MAX_PREFIX_LEN
                . ' printable ASCII characters without spaces');
        }
        return $prefix;
    }

    private function seconds($name, $least, $most)
    {
        return Setting::seconds($name, $this->find($name), $least, $most);
    }

    private function wholeSeconds($name, $most)
    {
        $value = $this->find($name);
        return $value === null ? null : (int) ceil(Setting::seconds($name, $value, 1, $most));
    }

    /** Credentials and names: any bytes of one line. The value is not in the message. */
    private function text($name)
    {
        $value = $this->find($name);
        if ($value !== null && (!is_scalar($value) || !preg_match('/^[^\x00-\x1f]{1,200}$/D', (string) $value))) {
            throw new InvalidOption('Setting ' . $name . ' (SHAREDANCE_' . strtoupper($name)
                . ') is not one line of 1 to 200 bytes');
        }
        return $value === null ? null : (string) $value;
    }

    private function find($name)
    {
        foreach ($this->places as $place) {
            if (isset($place[$name])) {
                return $place[$name];
            }
        }
        return null;
    }

    /** Several servers or one host: those of the most specific place that has either; within a place, several win. */
    private function serverSpecs()
    {
        foreach ($this->places as $place) {
            if (isset($place['servers'])) {
                $specs = is_array($place['servers'])
                    ? $place['servers'] : preg_split('/[\s,]+/', $place['servers'], -1, PREG_SPLIT_NO_EMPTY);
                if (!$specs) {
                    throw new InvalidOption('Setting servers (SHAREDANCE_SERVERS): the list is empty');
                }
                return $specs;
            }
            if (isset($place['host'])) {
                return [(string) $place['host']];
            }
        }
    }

    private static function constants(array $names)
    {
        $found = [];
        foreach ($names as $name) {
            $constant = 'SHAREDANCE_' . strtoupper($name);
            if (defined($constant)) {
                $found[$name] = constant($constant);
            }
        }
        if (!isset($found['host']) && defined('SESSION_HANDLER_HOST')) {
            $found['host'] = constant('SESSION_HANDLER_HOST');
        }
        return $found;
    }

    private static function environment(array $names)
    {
        $found = [];
        foreach ($names as $name) {
            $value = getenv('SHAREDANCE_' . strtoupper($name));
            // Empty means unset, except for the prefix, which can be empty.
            if ($value !== false && ($value !== '' || $name === 'prefix')) {
                $found[$name] = $value;
            }
        }
        return isset($found['port']) ? self::withoutServiceLink($found) : $found;
    }

    /**
     * Kubernetes gives every pod SHAREDANCE_PORT=tcp://10.0.0.1:1042 where a service has the name "sharedance". Such an
     * address is used where the environment names no other server; the port is the service's own.
     */
    private static function withoutServiceLink(array $found)
    {
        if (preg_match('~^(tcp|udp)://(\S+):([0-9]+)$~D', $found['port'], $link)) {
            unset($found['port']);
            if ($link[1] === 'tcp' && !isset($found['host']) && !isset($found['servers'])) {
                $found['host'] = $link[2] . ':' . $link[3];
            }
        }
        return $found;
    }
}
