<?php

namespace Sharedance;

use Sharedance\Exception\InvalidOption;

use function gettype;
use function hexdec;
use function is_string;
use function md5;
use function preg_match;
use function strlen;
use function strncmp;
use function sprintf;
use function strpos;
use function strtr;
use function substr;
use function trim;

/**
 * Address of one server (a host and a port in clear or with TLS, or a unix socket), and its weight among several.
 */
final class Server
{
    const MAX_PORT = 65535;
    const MAX_WEIGHT = 65535;
    /** libmemcached leaves this port out of the name that it hashes. */
    const UNNAMED_PORT = 11211;
    /** Of the name of a kept connection in the address of a unix socket. */
    const NAME_BITS = 24;
    /** unix:// and a path that leaves room for these bits in the 107 bytes that the system allows. */
    const MAX_KEPT_UNIX_LEN = 7 + 107 - 2 * self::NAME_BITS;

    private $address;
    /** @var bool whether it is tls://host:port. Read-only */
    public $isTls;
    private $nameAndPort;
    private $weight;

    private function __construct($address, $nameAndPort, $weight)
    {
        $this->address = $address;
        $this->isTls = strncmp($address, 'tls://', 6) === 0;
        $this->nameAndPort = $nameAndPort;
        $this->weight = $weight;
    }

    /**
     * @param string $spec host, host:port, [IPv6 address]:port, tls://host:port or unix:///path, with ?weight=N behind
     *     it where the server is one of several
     * @param int $defaultPort where the text names none
     * @return Server
     * @throws InvalidOption
     */
    public static function parse($spec, $defaultPort)
    {
        if (!is_string($spec)) {
            throw new InvalidOption('A server is written as text (host:port), not as ' . gettype($spec));
        }
        // A name or an address of IPv4 alone, as most servers are written.
        if (preg_match('/^[A-Za-z0-9._-]+$/D', $spec) && $defaultPort >= 1 && $defaultPort <= self::MAX_PORT) {
            return new self('tcp://' . $spec . ':' . $defaultPort, $spec . ':' . $defaultPort, 1);
        }
        $weight = 1;
        if (preg_match('/^(.*)\?weight=([0-9]{1,5})$/Ds', $spec, $found)) {
            list(, $spec, $weight) = $found;
        }
        if ($weight < 1 || $weight > self::MAX_WEIGHT) {
            throw new InvalidOption('A weight is a whole number from 1 to ' . self::MAX_WEIGHT . ', not ' . $weight);
        }
        if (strncmp($spec, 'unix://', 7) === 0) {
            if (!isset($spec[8]) || $spec[7] !== '/' || strpos($spec, '?') !== false) {
                throw new InvalidOption('A unix socket is written unix:///path, not "' . $spec . '"');
            }
            return new self($spec, substr($spec, 7) . ':0', (int) $weight);
        }
        // Several colons without brackets are an IPv6 address without a port.
        $host = '(?<host>[^\[\]:/?\s;]+|\[[0-9A-Fa-f:.%a-z]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)';
        if (!preg_match('~^(?<scheme>(?:tcp|tls)://)?' . $host . '(?::(?<port>[0-9]{1,5}))?$~D', $spec, $found)) {
            throw new InvalidOption('Not a server: "' . $spec . '" (host, host:port, tls://host:port, unix:///path,'
                . ' each with ?weight=N behind it where it is one of several)');
        }
        $port = isset($found['port']) ? (int) $found['port'] : $defaultPort;
        if ($port < 1 || $port > self::MAX_PORT) {
            throw new InvalidOption('A port is between 1 and ' . self::MAX_PORT . ', not ' . $port);
        }
        $name = strpos($found['host'], ':') !== false && $found['host'][0] !== '['
            ? '[' . $found['host'] . ']' : $found['host'];
        $bare = trim($found['host'], '[]');
        return new self(($found['scheme'] ?: 'tcp://') . $name . ':' . $port, $bare . ':' . $port, (int) $weight);
    }

    /**
     * @return string as PHP's streams want it
     */
    public function address()
    {
        return $this->address;
    }

    /**
     * @return bool whether there is a persistentAddress(): the path of a unix socket can be too long for one
     */
    public function canBeKept()
    {
        return $this->address[0] !== 'u' || strlen($this->address) <= self::MAX_KEPT_UNIX_LEN;
    }

    /**
     * @param string $name
     * @return string an address that leads to the same place, but under which PHP keeps a connection of its own: that of
     *     another library, or of other credentials, is not this one. PHP ignores what follows the port. Before the path of
     *     a unix socket, "/" and "/." lead nowhere else, and are the bits of a hash of the name
     */
    public function persistentAddress($name)
    {
        if ($this->address[0] !== 'u') {
            return $this->address . '/' . $name;
        }
        $bits = sprintf('%0' . self::NAME_BITS . 'b', hexdec(substr(md5($name), 0, self::NAME_BITS / 4)));
        return 'unix://' . strtr($bits, ['0' => '/', '1' => '/.']) . substr($this->address, 7);
    }

    /**
     * @return string as libmemcached hashes it: a server has the same keys with TLS and without
     */
    public function nameOnContinuum()
    {
        $unnamed = ':' . self::UNNAMED_PORT;
        return substr($this->nameAndPort, -strlen($unnamed)) === $unnamed
            ? substr($this->nameAndPort, 0, -strlen($unnamed)) : $this->nameAndPort;
    }

    /**
     * @return int the server's share of the keys, compared with the weights of the other servers
     */
    public function weight()
    {
        return $this->weight;
    }

    /**
     * @return string as people write it
     */
    public function name()
    {
        return strncmp($this->address, 'tcp://', 6) === 0 ? substr($this->address, 6) : $this->address;
    }
}
