<?php

namespace Sharedance\Wire;

use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\InvalidKey;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\Options;
use Sharedance\Server;

use function strlen;
use function strncmp;

/**
 * Store, fetch and delete in the classic dialect: each on a connection of its own, which ends the response.
 */
final class ClassicRequests
{
    private $options;
    /** Connections that were opened ahead, by the address of their server. */
    private $ready = [];

    public function __construct(Options $options)
    {
        $this->options = $options;
    }

    /**
     * Opens the connection of the next request ahead of it, which shows whether the server can be reached.
     *
     * @param Server $server
     * @throws CannotConnect
     */
    public function connect(Server $server)
    {
        $this->ready[$server->address()] = $this->connectionTo($server);
    }

    public function close()
    {
        foreach ($this->ready as $connection) {
            $connection->close();
        }
        $this->ready = [];
    }

    /**
     * @param Server $server
     * @param string $key
     * @param string $value
     * @throws SharedanceException
     */
    public function store(
        Server $server,
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $value
    ) {
        self::check($key);
        $request = Classic::store($key, $value);
        if (strlen($request) > $this->options->maxSize()) {
            throw new TooLarge('a request of ' . strlen($request) . ' bytes is larger than the limit of '
                . $this->options->maxSize());
        }
        if (!$this->isDone($server, $request)) {
            throw new Refused($server->name() . ' closed the connection without a response: a request of '
                . strlen($request) . ' bytes may be more than it accepts, it may have no room, or it went away');
        }
    }

    /**
     * @param Server $server
     * @param string $key
     * @return string '' where there is no such pair, and where its value is empty
     * @throws SharedanceException
     */
    public function fetch(
        Server $server,
        #[\SensitiveParameter]
        $key
    ) {
        self::check($key);
        return $this->response($server, Classic::fetch($key), $this->options->maxSize());
    }

    /**
     * @param Server $server
     * @param string $key
     * @return bool false where there was no such pair
     * @throws SharedanceException
     */
    public function delete(
        Server $server,
        #[\SensitiveParameter]
        $key
    ) {
        self::check($key);
        return $this->isDone($server, Classic::delete($key));
    }

    private static function check(
        #[\SensitiveParameter]
        $key
    ) {
        $fault = Classic::keyFault($key);
        if ($fault !== null) {
            throw new InvalidKey($fault);
        }
    }

    /** Whether the server confirms it; it sends nothing where it has nothing to do, or refuses to. */
    private function isDone(
        Server $server,
        #[\SensitiveParameter]
        $request
    ) {
        $reply = $this->response($server, $request, null);
        if ($reply === Classic::DONE || $reply === '') {
            return $reply !== '';
        }
        if (strncmp($reply, Classic::DONE, strlen($reply)) === 0) {
            throw new ConnectionLost($server->name() . ' closed the connection within its response');
        }
        throw new UnexpectedReply($server->name() . ' does not respond like a Sharedance server');
    }

    /** The response to its end; without a limit on it, no more of it than a confirmation has. */
    private function response(
        Server $server,
        #[\SensitiveParameter]
        $request,
        $maxLen
    ) {
        $connection = $this->connectionTo($server);
        unset($this->ready[$server->address()]);
        try {
            $exchange = $connection->begin($request, $this->options->timeoutSecs());
            return $maxLen === null ? $exchange->atMost(strlen(Classic::DONE)) : $exchange->rest($maxLen);
        } catch (TimedOut $failure) {
            ServerState::recordFailure($server);
            throw $failure;
        } finally {
            $connection->close();
        }
    }

    private function connectionTo(Server $server)
    {
        if (isset($this->ready[$server->address()])) {
            $connection = $this->ready[$server->address()];
            if ($connection->isOpen()) {
                return $connection;
            }
            $connection->close();
        }
        ServerState::check($server);
        try {
            return Connection::open($server, $this->options);
        } catch (CannotConnect $failure) {
            ServerState::recordFailure($server);
            throw $failure;
        }
    }
}
