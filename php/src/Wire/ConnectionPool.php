<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\Exception\WrongCredentials;
use Sharedance\Options;
use Sharedance\Server;

use function getmypid;
use function md5;
use function serialize;

/**
 * The connections to the servers, and the rules by which they are used again:
 *
 * - A connection that an earlier PHP request used is taken up by "unlock_all NONCE", in the same write as the first
 *   request. The server releases what locks that request left behind, and repeats the nonce. Unless that is the first
 *   line that arrives, the connection is closed, and nothing that it carried is used.
 * - Any exception within an exchange closes the connection for good.
 * - A connection that was used before and turns out to be dead is replaced once, where the request may be repeated.
 * - A connection whose exchange was interrupted is closed by whatever comes next: the shutdown functions of a request
 *   that was killed in the middle, or the handler of a signal. The server then releases its locks, so that the session
 *   that a shutdown function stores does not wait for its own lock.
 */
final class ConnectionPool
{
    /** The request may be executed twice: it is repeated if the connection turns out to be dead. */
    const REPEAT = 'repeat';
    /** It must not: a connection that may be dead is tried with another request first. */
    const CONFIRM = 'confirm';
    /** The caller deals with ConnectionLost. */
    const RAISE = 'raise';
    /** A server does not close a connection that was used this recently. */
    const SURE_SECS = 1.0;

    /** Those that PHP keeps, as far as this PHP request took them up: sessions and clients share them. */
    private static $kept = [];

    private $options;
    private $timeoutSecs;
    private $isPersistent;
    private $own = [];
    /** What connectionTo() returned last: most pools have one server. */
    private $lastServer;
    private $lastConnection;

    public function __construct(Options $options)
    {
        $this->options = $options;
        $this->timeoutSecs = $options->timeoutSecs();
        $this->isPersistent = $options->isPersistent();
    }

    /**
     * Sends a request, and reads its responses.
     *
     * @param Server $server
     * @param string $request one or more requests in the text dialect
     * @param string $ifDead REPEAT, CONFIRM or RAISE
     * @param callable $read takes the Exchange, reads all responses, and returns the result; an exception that it
     *     returns is thrown once the exchange is over, one that it throws closes the connection
     * @param float|null $waitSecs not null where the responses wait for a lock, this long: the server then has to show
     *     first that it is there, within the usual time
     * @param Connection|null $started the connection whose start() was given greetingFor() and the request, but did not
     *     return all responses
     * @return mixed
     * @throws SharedanceException
     */
    public function ask(
        Server $server,
        #[\SensitiveParameter]
        $request,
        $ifDead,
        callable $read,
        $waitSecs = null,
        $started = null
    ) {
        $connection = $started ?: $this->connectionTo($server);
        if ($ifDead === self::CONFIRM && $connection->idleSecs() > self::SURE_SECS) {
            $this->ask($server, "mn\r\n", self::REPEAT, [__CLASS__, 'readNoop']);
            $connection = $this->connectionTo($server);
        }
        try {
            $result = $this->exchange($server, $connection, $request, $read, $waitSecs);
        } catch (ConnectionLost $failure) {
            if ($connection->isFresh || $ifDead !== self::REPEAT) {
                throw $failure;
            }
            $result = $this->exchange($server, $this->connectionTo($server), $request, $read, $waitSecs);
        }
        if ($result instanceof SharedanceException) {
            throw $result;
        }
        return $result;
    }

    /**
     * The same on a connection that the caller has, for a lock that ends with it.
     *
     * @param Connection $connection
     * @param Server $server
     * @param string $request
     * @param callable $read
     * @return mixed
     * @throws SharedanceException
     */
    public function askOn(
        Connection $connection,
        Server $server,
        #[\SensitiveParameter]
        $request,
        callable $read
    ) {
        $result = $this->exchange($server, $connection, $request, $read, null);
        if ($result instanceof SharedanceException) {
            throw $result;
        }
        return $result;
    }

    /**
     * @param Server $server
     * @return Connection the one that the next request will use, opened if there is none
     * @throws SharedanceException
     */
    public function connectionTo(Server $server)
    {
        if ($server !== $this->lastServer || $this->lastConnection->isBusy) {
            $this->lastConnection = $this->keptTo($server) ?: $this->ownTo($server) ?: $this->open($server);
            $this->lastServer = $server;
        }
        return $this->lastConnection;
    }

    /**
     * @param Server $server
     * @return Connection|null the connection that this worker has kept, of which connectionTo() returns the same; none is
     *     opened. The classic dialect keeps no connection
     */
    public function keptTo(Server $server)
    {
        if (!$this->isPersistent || !$server->canBeKept()) {
            return null;
        }
        $keptAs = $this->nameFor($server);
        $name = $server->address() . $keptAs;
        if (isset(self::$kept[$name])) {
            if (!self::$kept[$name]->isBusy) {
                return self::$kept[$name];
            }
            self::$kept[$name]->close();
            unset(self::$kept[$name]);
        }
        $connection = Connection::kept($server, $keptAs);
        if ($connection !== null) {
            self::$kept[$name] = $connection;
        }
        return $connection;
    }

    /** Closes the connections that are not kept. */
    public function close()
    {
        foreach ($this->own as $connection) {
            $connection->close();
        }
        $this->own = [];
    }

    /** As if this request of PHP ended, for tests. */
    public static function endRequest()
    {
        self::$kept = [];
    }

    /**
     * @param Exchange $exchange
     * @return true
     * @throws UnexpectedReply
     */
    public static function readNoop(Exchange $exchange)
    {
        $exchange->expect('MN');
        return true;
    }

    private function exchange(
        Server $server,
        Connection $connection,
        #[\SensitiveParameter]
        $request,
        $read,
        $waitSecs
    ) {
        try {
            $greeting = $connection->greetingFor($waitSecs !== null);
            $exchange = $connection->begin($greeting . $request, $this->timeoutSecs);
            if ($greeting !== '') {
                $connection->confirm($exchange, $waitSecs !== null);
                $exchange->extend((float) $waitSecs);
            }
            $result = $read($exchange);
            $exchange->finish();
            return $result;
        } catch (TimedOut $failure) {
            ServerState::recordFailure($server);
            $connection->close();
            throw $failure;
        } catch (WrongCredentials $failure) {
            // The server delays the response to each attempt. Other credentials can be right.
            ServerState::recordFailure($server, $this->accountOn($server));
            $connection->close();
            throw $failure;
        } catch (\Throwable $failure) {
            // PHP 8 throws a TypeError for a stream that the handler of a signal has closed.
            $isInterrupted = $connection->isClosed && !$failure instanceof SharedanceException;
            $connection->close();
            throw $isInterrupted ? new ConnectionLost('the request was interrupted by another one') : $failure;
        }
    }

    private function ownTo(Server $server)
    {
        $address = $server->address();
        if (!isset($this->own[$address])) {
            return null;
        }
        if (!$this->own[$address]->isBusy) {
            return $this->own[$address];
        }
        $this->own[$address]->close();
        return null;
    }

    private function open(Server $server)
    {
        ServerState::check($server);
        if ($this->options->user() !== null) {
            ServerState::check($server, $this->accountOn($server));
        }
        $isKept = $this->isPersistent && $server->canBeKept();
        $keptAs = $isKept ? $this->nameFor($server) : null;
        try {
            $connection = Connection::open($server, $this->options, $keptAs);
        } catch (CannotConnect $failure) {
            ServerState::recordFailure($server);
            throw $failure;
        }
        if ($connection->isFresh && $this->options->user() !== null) {
            $connection->authenticateAs($this->options->user(), $this->options->password());
        }
        if ($isKept) {
            self::$kept[$server->address() . $keptAs] = $connection;
        } else {
            $this->own[$server->address()] = $connection;
        }
        return $connection;
    }

    /**
     * What PHP keeps a connection as: those of other credentials are other ones, and a process that was forked must not
     * share its parent's.
     */
    private function nameFor(Server $server)
    {
        $name = 'sharedance-' . getmypid();
        return !$server->isTls && $this->options->user() === null ? $name : $name . '-' . $this->accountOn($server);
    }

    /** Distinguishes the credentials, and shows none. */
    private function accountOn(Server $server)
    {
        $tls = $server->isTls ? $this->options->tlsContext() : [];
        return md5(serialize([$this->options->user(), $this->options->password(), $tls]));
    }
}
