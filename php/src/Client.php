<?php

namespace Sharedance;

use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;

/**
 * Stores, fetches and deletes pairs, on the server that has the key. What went wrong is an exception, never a result:
 * a value that is "0" is a value, and a server that is silent is not a missing pair.
 *
 * Each request has a connection of its own, so two clients, and a client and a session, never get into each other's way.
 */
class Client
{
    private $options;
    private $ring;
    /** Connections that were opened ahead, by the address of their server. */
    private $ready = [];

    /**
     * @param Options|array $options
     */
    public function __construct($options = [])
    {
        $this->options = $options instanceof Options ? $options : new Options($options);
        $this->ring = new ServerRing($this->options->servers());
    }

    /**
     * Opens the connection of the next request ahead of it, which shows whether the servers can be reached.
     *
     * @throws CannotConnect
     */
    public function connect()
    {
        foreach ($this->ring->servers() as $server) {
            $this->ready[$server->address()] = $this->readyConnection($server) ?: $this->connectionTo($server);
        }
    }

    public function close()
    {
        foreach ($this->ready as $connection) {
            $connection->close();
        }
        $this->ready = [];
    }

    /**
     * @param string $key
     * @return Server
     */
    public function serverOf(
        #[\SensitiveParameter]
        $key
    ) {
        return $this->ring->serverOf($key);
    }

    /**
     * Stores the pair, in place of the value that is there, for as long as the server keeps pairs. An empty value is
     * stored, and fetched as a missing one.
     *
     * @param string $key
     * @param string $data
     * @throws SharedanceException
     */
    public function store(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $data
    ) {
        $this->check($key);
        $size = Classic::STORE_HEADER_LEN + strlen($key) + strlen($data);
        if ($size > $this->options->maxSize()) {
            throw new TooLarge('a request of ' . $size . ' bytes is larger than the limit of '
                . $this->options->maxSize());
        }
        $server = $this->ring->serverOf($key);
        if (!$this->isDone($server, Classic::store($key, $data))) {
            throw new Refused($server->name() . ' closed the connection without an answer: a request of ' . $size
                . ' bytes may be more than it takes, it may have no room, or it went away');
        }
    }

    /**
     * @param string $key
     * @return string|null null where there is no such pair
     * @throws SharedanceException
     */
    public function fetch(
        #[\SensitiveParameter]
        $key
    ) {
        $this->check($key);
        $connection = $this->begin($this->ring->serverOf($key), Classic::fetch($key));
        try {
            $data = '';
            while (($bytes = $connection->receive()) !== '') {
                $data .= $bytes;
                if (strlen($data) > $this->options->maxSize()) {
                    throw new TooLarge('the answer is larger than the limit of ' . $this->options->maxSize()
                        . ' bytes');
                }
            }
        } finally {
            $connection->close();
        }
        return $data === '' ? null : $data;
    }

    /**
     * @param string $key
     * @return bool false where there was no such pair
     * @throws SharedanceException
     */
    public function delete(
        #[\SensitiveParameter]
        $key
    ) {
        $this->check($key);
        return $this->isDone($this->ring->serverOf($key), Classic::delete($key));
    }

    private function check(
        #[\SensitiveParameter]
        $key
    ) {
        $fault = Classic::keyFault($key);
        if ($fault !== null) {
            throw new InvalidKey($fault);
        }
    }

    /** Whether the server says so; it says nothing where it has nothing to do, or refuses to. */
    private function isDone(
        Server $server,
        #[\SensitiveParameter]
        $request
    ) {
        $connection = $this->begin($server, $request);
        try {
            $reply = '';
            do {
                $bytes = $connection->receive();
                $reply .= $bytes;
            } while ($bytes !== '' && strlen($reply) < strlen(Classic::DONE));
        } finally {
            $connection->close();
        }
        if ($reply === Classic::DONE || $reply === '') {
            return $reply !== '';
        }
        if (strncmp($reply, Classic::DONE, strlen($reply)) === 0) {
            throw new ConnectionLost($server->name() . ' closed the connection within its answer');
        }
        throw new UnexpectedReply($server->name() . ' does not answer like a Sharedance server');
    }

    private function begin(
        Server $server,
        #[\SensitiveParameter]
        $request
    ) {
        $connection = $this->readyConnection($server) ?: $this->connectionTo($server);
        try {
            $connection->allow($this->options->timeoutSecs());
            $connection->send($request);
        } catch (SharedanceException $failure) {
            $connection->close();
            throw $failure;
        }
        return $connection;
    }

    private function readyConnection(Server $server)
    {
        $address = $server->address();
        if (!isset($this->ready[$address])) {
            return null;
        }
        $connection = $this->ready[$address];
        unset($this->ready[$address]);
        if ($connection->isOpen()) {
            return $connection;
        }
        $connection->close();
        return null;
    }

    private function connectionTo(Server $server)
    {
        return new Connection($server, $this->options->connectTimeoutSecs());
    }
}
