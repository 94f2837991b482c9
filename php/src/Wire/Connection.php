<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\SharedanceException;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\WrongCredentials;
use Sharedance\Options;
use Sharedance\Server;

use function bin2hex;
use function fclose;
use function fread;
use function function_exists;
use function fwrite;
use function hrtime;
use function microtime;
use function php_uname;
use function preg_match;
use function random_bytes;
use function restore_error_handler;
use function stream_get_meta_data;
use function stream_select;
use function stream_set_blocking;
use function stream_set_chunk_size;
use function strlen;

/**
 * One connection to one server: its stream, and whether the stream can be used again. Each end of an exchange other than
 * finish() leaves it marked as busy (KeptStream), so that every path that was not thought of is safe.
 *
 * An exchange is a request and its responses. Almost always one write sends the request and one read receives all
 * responses: that is start(), and finish() once the caller has found them complete. Everything else, from the second
 * read on, is an Exchange, which begin() returns.
 */
final class Connection
{
    /** Bytes of one read. */
    const READ_LEN = 32768;

    private $server;
    private $stream;
    private $isBlocking;
    /** @var bool true until the first exchange of a new connection is over. Read-only, as are the others */
    public $isFresh;
    /** @var bool false for a connection that an earlier request of PHP used, until the server confirms its nonce */
    private $isTrusted;
    private $nonce;
    /** The request with user and password, until the server has accepted them. */
    private $credentials = '';
    /** @var bool whether an exchange began and did not end well; it is never used again then */
    public $isBusy = false;
    /** @var bool */
    public $isClosed = false;
    /** @var float when the exchange began, as Clock has it */
    public $began = -INF;
    private $lastUsed = -INF;
    /** Whether start() was called and begin() was not; then, how much of the request was sent, and what was received. */
    private $isStarted = false;
    private $sent = 0;
    private $received = '';
    /** Whether the read of start() failed: another read does not have to report that again. */
    private $isBroken = false;

    private function __construct(Server $server, $stream, $isFresh)
    {
        $this->server = $server;
        $this->stream = $stream;
        $this->isFresh = $this->isTrusted = $isFresh;
        // With TLS, PHP bounds the time of a blocking call well; select() would not see bytes that are decrypted already.
        // As WebAssembly, which has integers of 32 bits, PHP's select() never waits.
        $this->isBlocking = $server->isTls || self::isWebAssembly();
        if ($isFresh) {
            $this->lastUsed = Clock::now();
            stream_set_blocking($stream, $this->isBlocking);
        }
    }

    /**
     * Opens a connection.
     *
     * @param Server $server
     * @param Options $options
     * @param string|null $keptAs null: PHP closes it at the end of the request. Otherwise PHP keeps it under this name
     * @return self
     * @throws CannotConnect
     */
    public static function open(Server $server, Options $options, $keptAs = null)
    {
        list($stream, $isFresh) = KeptStream::open($server, $options, $keptAs);
        return new self($server, $stream, $isFresh);
    }

    /**
     * @param Server $server
     * @param string $keptAs
     * @return self|null the connection that this worker has kept under this name, if it is in order; none is opened
     */
    public static function kept(Server $server, $keptAs)
    {
        $stream = KeptStream::find($server, $keptAs);
        return $stream === null ? null : new self($server, $stream, false);
    }

    /**
     * The server shall know the user before the first request of this new connection.
     *
     * @param string $user
     * @param string $password
     */
    public function authenticateAs(
        $user,
        #[\SensitiveParameter]
        $password
    ) {
        $credentials = $user . ' ' . $password;
        // A server that needs none stores them, so they have expired already.
        $this->credentials = 'set auth 0 -1 ' . strlen($credentials) . "\r\n" . $credentials . "\r\n";
    }

    /**
     * What precedes a request: user and password on a new connection, where there are any; "unlock_all NONCE" on one that
     * an earlier request of PHP used, which releases the locks that it left; "mn" where the responses may wait, to show
     * that the server is there.
     *
     * @param bool $mayWait
     * @return string the same until the server has confirmed it
     */
    public function greetingFor($mayWait)
    {
        if ($this->isTrusted) {
            return $this->credentials . ($mayWait ? "mn\r\n" : '');
        }
        if ($this->nonce === null) {
            $this->nonce = bin2hex(random_bytes(8));
        }
        return 'unlock_all ' . $this->nonce . "\r\n";
    }

    /**
     * @param bool $mayWait
     * @return string what almost always responds to the greeting: the credentials are right, and no lock was left
     */
    public function usualReply($mayWait)
    {
        if ($this->isTrusted) {
            return ($this->credentials === '' ? '' : "STORED\r\n") . ($mayWait ? "MN\r\n" : '');
        }
        return 'UNLOCKED 0 ' . $this->nonce . "\r\n";
    }

    /**
     * Reads the responses to the greeting.
     *
     * @param Exchange $exchange
     * @param bool $mayWait
     * @throws SharedanceException
     */
    public function confirm(Exchange $exchange, $mayWait)
    {
        if (!$this->isTrusted) {
            $line = $exchange->line();
            if (!preg_match('/^UNLOCKED [0-9]+ ' . $this->nonce . '$/D', $line)) {
                throw $line === Meta::UNAUTHENTICATED ? Meta::refusal($line) : new ConnectionLost($this->server->name() . ' did not confirm a connection that was kept');
            }
            $this->isTrusted = true;
            return;
        }
        if ($this->credentials !== '') {
            try {
                $line = $exchange->line();
            } catch (ConnectionLost $failure) {
                throw new WrongCredentials($this->server->name() . ' closed the connection before it accepted the user and'
                    . ' password: ' . $failure->getMessage());
            }
            if ($line !== 'STORED') {
                throw new WrongCredentials($this->server->name() . ' does not accept the user and password'
                    . ' (SHAREDANCE_USER, SHAREDANCE_PASSWORD)');
            }
            $this->credentials = '';
        }
        if ($mayWait) {
            $exchange->expect('MN');
        }
    }

    /**
     * @return float seconds since the server was last heard of
     */
    public function idleSecs()
    {
        return Clock::now() - $this->lastUsed;
    }

    /**
     * Begins an exchange: one write, one wait, one read. This never throws. The caller finds all responses in what it
     * returns, and calls finish(), or calls begin() with the same request, which continues, and reports what went wrong.
     *
     * @param string $request
     * @param float $secs
     * @return string what has arrived
     */
    public function start(
        #[\SensitiveParameter]
        $request,
        $secs
    ) {
        $stream = $this->stream;
        stream_set_chunk_size($stream, KeptStream::BUSY);
        $this->isBusy = $this->isStarted = true;
        $this->sent = 0;
        $this->received = Notices::$first = '';
        $this->began = PHP_VERSION_ID >= 70300 ? hrtime(true) / 1e9 : microtime(true);
        if ($this->isBlocking) {
            return '';
        }
        Notices::keep();
        try {
            $this->sent = (int) fwrite($stream, $request);
            if ($this->sent === strlen($request)) {
                $read = [$stream];
                $write = $except = null;
                $whole = (int) $secs;
                if (stream_select($read, $write, $except, $whole, (int) (($secs - $whole) * 1e6))) {
                    $bytes = fread($stream, self::READ_LEN);
                    $this->isBroken = $bytes === false;
                    $this->received = (string) $bytes;
                }
            }
        } catch (\Throwable $failure) {
            // PHP 8 throws a TypeError for a stream that the handler of a signal has closed. The next use throws it again.
        } finally {
            restore_error_handler();
        }
        return $this->received;
    }

    /**
     * Begins an exchange, or continues the one that start() began. Sending and receiving together may take this long,
     * and a second more for each MiB that passes.
     *
     * @param string $request
     * @param float $secs
     * @return Exchange after the whole request was sent
     * @throws ConnectionLost
     * @throws TimedOut
     */
    public function begin(
        #[\SensitiveParameter]
        $request,
        $secs
    ) {
        if (!$this->isStarted) {
            $this->start($request, $secs);
        }
        $this->isStarted = false;
        $received = $this->received;
        $this->received = '';
        $exchange = new Exchange($this, $this->server, $this->stream, $this->isBlocking, $this->began + $secs, $received);
        if ($this->isBroken) {
            throw $exchange->brokenOff();
        }
        $exchange->send($request, $this->sent);
        return $exchange;
    }

    /**
     * Ends an exchange whose responses are complete, the one to the greeting too. From here on the connection can be used again, also by
     * the next request of PHP.
     */
    public function finish()
    {
        $this->received = '';
        stream_set_chunk_size($this->stream, KeptStream::IDLE);
        $this->isBusy = $this->isFresh = $this->isStarted = false;
        $this->isTrusted = true;
        $this->credentials = '';
        $this->lastUsed = $this->began;
    }

    /**
     * @return bool false once it was closed here, or where the server has closed it or sent what was not requested
     */
    public function isOpen()
    {
        if ($this->isBusy) {
            return false;
        }
        Notices::keep();
        try {
            // Not feof(): before PHP 8 it never returns with TLS.
            stream_set_blocking($this->stream, false);
            $bytes = fread($this->stream, 1);
            stream_set_blocking($this->stream, $this->isBlocking);
            return (string) $bytes === '' && !stream_get_meta_data($this->stream)['eof'];
        } finally {
            restore_error_handler();
        }
    }

    /** Closes it for good: PHP does not keep it either. */
    public function close()
    {
        if (!$this->isClosed) {
            $this->isBusy = $this->isClosed = true;
            fclose($this->stream);
        }
    }

    public function __debugInfo()
    {
        return ['server' => $this->server->name(), 'isFresh' => $this->isFresh, 'isBusy' => $this->isBusy];
    }

    private static function isWebAssembly()
    {
        return PHP_INT_SIZE === 4 && function_exists('php_uname') && php_uname('s') === 'Emscripten';
    }
}
