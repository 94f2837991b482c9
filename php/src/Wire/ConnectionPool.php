<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\Refused;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\Options;
use Sharedance\Server;

use function bin2hex;
use function getmypid;
use function md5;
use function preg_match;
use function random_bytes;
use function serialize;
use function strlen;

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
     * @param callable $read takes the Connection, reads all responses, and returns the result; an exception that it
     *     returns is thrown once the exchange is over, one that it throws closes the connection
     * @param float|null $waitSecs not null where the responses wait for a lock, this long: the server then has to show
     *     first that it is there, within the usual time
     * @param Connection|null $started the connection whose start() was given the request, "mn" before it where it waits,
     *     but did not return the whole response; it is trusted
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
        if ($server === $this->lastServer && !$this->lastConnection->isBusy) {
            return $this->lastConnection;
        }
        list($this->lastServer, $this->lastConnection) = [$server, $this->find($server)];
        return $this->lastConnection;
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
     * @param Connection $connection
     * @return true
     * @throws UnexpectedReply
     */
    public static function readNoop(Connection $connection)
    {
        $connection->expect('MN');
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
            if (!$connection->isTrusted) {
                $nonce = bin2hex(random_bytes(8));
                $connection->begin('unlock_all ' . $nonce . "\r\n" . $request, $this->timeoutSecs);
                $this->confirm($server, $connection, $nonce);
                $connection->extend((float) $waitSecs);
            } elseif ($waitSecs !== null) {
                $connection->begin("mn\r\n" . $request, $this->timeoutSecs);
                $connection->expectNoop($waitSecs);
            } else {
                $connection->begin($request, $this->timeoutSecs);
            }
            $result = $read($connection);
            $connection->finish();
            return $result;
        } catch (TimedOut $failure) {
            ServerState::recordFailure($server);
            $connection->close();
            throw $failure;
        } catch (\Throwable $failure) {
            // PHP 8 throws a TypeError for a stream that the handler of a signal has closed.
            $isInterrupted = $connection->isClosed && !$failure instanceof SharedanceException;
            $connection->close();
            throw $isInterrupted ? new ConnectionLost('the request was interrupted by another one') : $failure;
        }
    }

    private function confirm(Server $server, Connection $connection, $nonce)
    {
        $line = $connection->line();
        if (!preg_match('/^UNLOCKED [0-9]+ ' . $nonce . '$/D', $line)) {
            throw new ConnectionLost($server->name() . ' did not confirm a connection that was kept');
        }
        $connection->trust();
    }

    /** As memcached has it in its text dialect: the first request is a set, of any key, with user and password. */
    private function authenticate(Server $server, Connection $connection)
    {
        $credentials = $this->options->user() . ' ' . $this->options->password();
        $request = 'set auth 0 0 ' . strlen($credentials) . "\r\n" . $credentials . "\r\n";
        $isAccepted = $this->exchange($server, $connection, $request, function (Connection $connection) {
            return $connection->line() === 'STORED';
        }, null);
        if (!$isAccepted) {
            $connection->close();
            throw new Refused($server->name() . ' does not accept the user and password');
        }
    }

    private function find(Server $server)
    {
        $keptAs = $this->isPersistent ? $this->nameFor($server) : null;
        $name = $server->address() . $keptAs;
        if ($this->isPersistent) {
            $connection = isset(self::$kept[$name]) ? self::$kept[$name] : null;
        } else {
            $connection = isset($this->own[$name]) ? $this->own[$name] : null;
        }
        if ($connection !== null) {
            if (!$connection->isBusy) {
                return $connection;
            }
            $connection->close();
        }
        ServerState::check($server);
        try {
            $connection = Connection::open($server, $this->options, $keptAs);
        } catch (CannotConnect $failure) {
            ServerState::recordFailure($server);
            throw $failure;
        }
        if ($connection->isFresh && $this->options->user() !== null) {
            $this->authenticate($server, $connection);
        }
        $this->keep($name, $connection);
        return $connection;
    }

    private function keep($name, Connection $connection)
    {
        if ($this->isPersistent) {
            self::$kept[$name] = $connection;
        } else {
            $this->own[$name] = $connection;
        }
    }

    /**
     * What PHP keeps a connection as: those of other credentials are other ones, and a process that was forked must not
     * share its parent's.
     */
    private function nameFor(Server $server)
    {
        $name = 'sharedance-' . getmypid();
        if ($this->options->user() === null && !$server->isTls()) {
            return $name;
        }
        $tls = $server->isTls() ? $this->options->tlsContext() : [];
        return $name . '-' . md5(serialize([$this->options->user(), $this->options->password(), $tls]));
    }
}
