<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\Options;
use Sharedance\Server;

use function fclose;
use function fread;
use function function_exists;
use function fwrite;
use function hrtime;
use function implode;
use function max;
use function microtime;
use function php_uname;
use function restore_error_handler;
use function set_error_handler;
use function sprintf;
use function stream_get_meta_data;
use function stream_select;
use function stream_set_blocking;
use function stream_set_chunk_size;
use function stream_set_timeout;
use function stream_socket_get_name;
use function strlen;
use function strncmp;
use function strpos;
use function substr;
use function substr_compare;

/**
 * One connection to one server: bytes and deadlines, no dialect. Each end of an exchange other than finish() leaves its
 * stream marked as busy (KeptStream), so that every path that was not thought of is safe.
 *
 * Nothing here raises an error of PHP: what PHP reports becomes part of the exception.
 */
final class Connection
{
    /** So much is read at once. */
    const READ_LEN = 32768;
    /** Blocking calls write such pieces, so that the time is looked at in between. */
    const PIECE_LEN = 16384;
    /** No line of a response is longer. */
    const MAX_LINE_LEN = 8192;
    /** A slow line to a healthy server carries at least this: large values get more time than small ones. */
    const SLOWEST_BYTES_PER_SEC = 1048576;

    private $server;
    private $stream;
    private $isBlocking;
    /** @var bool true until the first exchange of a new connection is over. Read-only, as are the next */
    public $isFresh;
    /** @var bool false for a connection that an earlier request of PHP used, until trust() */
    public $isTrusted;
    /** @var bool whether an exchange began and did not end well; it is never used again then */
    public $isBusy = false;
    /** @var bool */
    public $isClosed = false;
    /** @var float when the exchange began, as Clock has it */
    public $began = -INF;
    private $lastUsed = -INF;
    private $buffer = '';
    private $pos = 0;
    private $deadline = 0.0;
    /** Whether start() was called and begin() was not, and how much of the request was sent. */
    private $isStarted = false;
    /** Whether its read failed: another read does not have to report that again. */
    private $isBroken = false;
    private $sent = 0;
    /** What PHP reported first since begin(), and the error handler that keeps it. */
    private static $notice = '';
    private static $catchNotice;

    private function __construct(Server $server, $stream, $isFresh)
    {
        if (self::$catchNotice === null) {
            // Until restore_error_handler(). An operator @ would not do: handlers of applications are called all the same.
            self::$catchNotice = static function ($severity, $message) {
                // The first is the cause, of several. A signal that interrupts select() is not an error.
                if (self::$notice === '' && strpos($message, 'select') === false) {
                    self::$notice = $message;
                }
                return true;
            };
        }
        $this->server = $server;
        $this->stream = $stream;
        $this->isFresh = $this->isTrusted = $isFresh;
        $this->lastUsed = $isFresh ? Clock::now() : -INF;
        // With TLS, PHP bounds the time of a blocking call well; select() would not see bytes that are decrypted already.
        // As WebAssembly, PHP's select() never waits.
        $this->isBlocking = $server->isTls() || self::isWebAssembly();
        stream_set_blocking($stream, $this->isBlocking);
    }

    /**
     * Takes up the connection that this worker has kept, or opens one.
     *
     * @param Server $server
     * @param Options $options
     * @param string|null $keptAs null: PHP closes it at the end of the request. Otherwise it is kept under this name
     * @return self
     * @throws CannotConnect
     */
    public static function open(Server $server, Options $options, $keptAs = null)
    {
        list($stream, $isFresh) = KeptStream::open($server, $options, $keptAs);
        return new self($server, $stream, $isFresh);
    }

    /** The server has shown that responses belong to the requests of this request of PHP. */
    public function trust()
    {
        $this->isTrusted = true;
    }

    /**
     * @return float seconds since the server was last heard of
     */
    public function idleSecs()
    {
        return Clock::now() - $this->lastUsed;
    }

    /**
     * Begins an exchange: sends the request, and waits for the first bytes of the response. Sending and receiving
     * together may take this long, and a second more for each MiB that passes.
     *
     * @param string $request
     * @param float $secs
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
        if ($this->isBroken) {
            throw $this->brokenOff();
        }
        if ($this->sent !== strlen($request)) {
            $this->send($request, $this->sent);
        }
    }

    /**
     * The usual case in as few steps as possible: one write sends all, and one read receives all.
     * The caller either finds the whole response in it, and calls finish(), or continues with begin() and the same request,
     * which reports what went wrong: this never throws.
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
        self::$notice = '';
        $this->sent = 0;
        $this->began = $now = PHP_VERSION_ID >= 70300 ? hrtime(true) / 1e9 : microtime(true);
        $this->deadline = $now + $secs;
        if ($this->isBlocking) {
            return '';
        }
        set_error_handler(self::$catchNotice);
        try {
            $this->sent = (int) fwrite($stream, $request);
            if ($this->sent === strlen($request)) {
                $read = [$stream];
                $write = $except = null;
                $whole = (int) $secs;
                if (stream_select($read, $write, $except, $whole, (int) (($secs - $whole) * 1e6))) {
                    $bytes = fread($stream, self::READ_LEN);
                    $this->isBroken = $bytes === false;
                    $this->buffer = (string) $bytes;
                    $this->deadline += strlen($this->buffer) / self::SLOWEST_BYTES_PER_SEC;
                }
            }
        } catch (\Throwable $failure) {
            // PHP 8 throws a TypeError for a stream that the handler of a signal has closed. The next use throws it again.
        } finally {
            restore_error_handler();
        }
        return $this->buffer;
    }

    /**
     * Reads the response to "mn", which precedes requests that may wait, and allows the wait.
     *
     * @param float $waitSecs
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws UnexpectedReply
     */
    public function expectNoop($waitSecs)
    {
        if (strncmp($this->buffer, "MN\r\n", 4) === 0) {
            $this->pos = 4;
        } else {
            $this->expect('MN');
        }
        $this->deadline += $waitSecs;
    }

    /**
     * Allows the rest of the exchange more time.
     *
     * @param float $secs
     */
    public function extend($secs)
    {
        $this->deadline += $secs;
    }

    /** Sends the rest of a request. */
    private function send(
        #[\SensitiveParameter]
        $bytes,
        $sent = 0
    ) {
        $len = strlen($bytes);
        set_error_handler(self::$catchNotice);
        try {
            $this->deadline += $sent / self::SLOWEST_BYTES_PER_SEC;
            while ($sent < $len) {
                if ($this->isEnded() || self::$notice !== '') {
                    throw new ConnectionLost(sprintf(
                        '%s closed the connection when %d of %d bytes were sent',
                        $this->server->name(),
                        $sent,
                        $len
                    ));
                }
                $this->await(true);
                $piece = $this->isBlocking ? self::PIECE_LEN : $len;
                $written = (int) fwrite($this->stream, $sent === 0 && $piece >= $len ? $bytes : substr($bytes, $sent, $piece));
                $sent += $written;
                $this->deadline += $written / self::SLOWEST_BYTES_PER_SEC;
            }
        } finally {
            restore_error_handler();
        }
    }

    /**
     * @return string a line of the response, without its end
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws UnexpectedReply
     */
    public function line()
    {
        while (($end = strpos($this->buffer, "\r\n", $this->pos)) === false) {
            if (strlen($this->buffer) - $this->pos > self::MAX_LINE_LEN) {
                throw new UnexpectedReply($this->server->name() . ' does not respond like a Sharedance server');
            }
            $this->buffer = (string) substr($this->buffer, $this->pos) . $this->receiveMore();
            $this->pos = 0;
        }
        $line = (string) substr($this->buffer, $this->pos, $end - $this->pos);
        $this->pos = $end + 2;
        return $line;
    }

    /**
     * @param string $line the only one that may come next
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws UnexpectedReply
     */
    public function expect($line)
    {
        if ($this->line() !== $line) {
            throw new UnexpectedReply($this->server->name() . ' does not respond like a Sharedance server');
        }
    }

    /**
     * @param int $len
     * @return string a data block of the response, without the end of line behind it
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws UnexpectedReply
     */
    public function block($len)
    {
        $missing = $len + 2 - (strlen($this->buffer) - $this->pos);
        if ($missing > 0) {
            $pieces = [(string) substr($this->buffer, $this->pos)];
            for (; $missing > 0; $missing -= strlen($piece)) {
                $pieces[] = $piece = $this->receiveMore();
            }
            $this->buffer = implode('', $pieces);
            $this->pos = 0;
        }
        if (substr_compare($this->buffer, "\r\n", $this->pos + $len, 2) !== 0) {
            throw new UnexpectedReply($this->server->name() . ' does not end a value where it said');
        }
        $block = (string) substr($this->buffer, $this->pos, $len);
        $this->pos += $len + 2;
        return $block;
    }

    /** Ends an exchange whose whole response is what start() returned. */
    public function finishStarted()
    {
        $this->buffer = '';
        stream_set_chunk_size($this->stream, KeptStream::IDLE);
        $this->isBusy = $this->isFresh = $this->isStarted = false;
        $this->lastUsed = $this->began;
    }

    /**
     * Ends an exchange whose responses were read to their end. From here on the connection can be used again, also by
     * the next request of PHP.
     *
     * @throws UnexpectedReply where bytes are left over
     */
    public function finish()
    {
        if ($this->pos !== strlen($this->buffer)) {
            throw new UnexpectedReply($this->server->name() . ' sent more than one response to a request');
        }
        $this->buffer = '';
        $this->pos = 0;
        stream_set_chunk_size($this->stream, KeptStream::IDLE);
        $this->isBusy = $this->isFresh = $this->isStarted = false;
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
        set_error_handler(self::$catchNotice);
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

    /**
     * Reads a response of the classic dialect that has at most this length, or as far as it goes.
     *
     * @param int $len
     * @return string
     * @throws ConnectionLost
     * @throws TimedOut
     */
    public function atMost($len)
    {
        $bytes = $this->buffer;
        while (strlen($bytes) < $len && ($more = $this->receive()) !== '') {
            $bytes .= $more;
        }
        return $bytes;
    }

    /**
     * Reads until the server closes the connection, which ends a response of the classic dialect.
     *
     * @param int $maxLen
     * @return string
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws TooLarge
     */
    public function rest($maxLen)
    {
        $bytes = $this->buffer;
        do {
            if (strlen($bytes) > $maxLen) {
                throw new TooLarge('the response is larger than the limit of ' . $maxLen . ' bytes');
            }
            $more = $this->receive();
            $bytes .= $more;
        } while ($more !== '');
        return $bytes;
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
        return function_exists('php_uname') && php_uname('s') === 'Emscripten';
    }

    private function receiveMore()
    {
        $bytes = $this->receive();
        if ($bytes === '') {
            throw new ConnectionLost($this->server->name() . ' closed the connection within its response');
        }
        return $bytes;
    }

    /** @return string some bytes; '' where the server has closed the connection without a reset */
    private function receive()
    {
        set_error_handler(self::$catchNotice);
        try {
            $this->await(false);
            while ((string) ($bytes = fread($this->stream, self::READ_LEN)) === '' && !$this->isEnded()) {
                $this->await(false);
            }
        } finally {
            restore_error_handler();
        }
        if ($bytes === '' || $bytes === false) {
            // Before PHP 7.4 a read is '' after a reset too; but then the socket no longer has a peer.
            if ($bytes === false || self::$notice !== '' || stream_socket_get_name($this->stream, true) === false) {
                throw $this->brokenOff();
            }
            return '';
        }
        $this->deadline += strlen($bytes) / self::SLOWEST_BYTES_PER_SEC;
        return $bytes;
    }

    private function isEnded()
    {
        $state = stream_get_meta_data($this->stream);
        if ($state['timed_out']) {
            throw $this->tooLate();
        }
        return $state['eof'];
    }

    /**
     * Waits until the connection is ready. The remaining time is computed again after each signal, which interrupts
     * select(): a wait inside of fread() would begin again with its whole time-out.
     */
    private function await($isWrite)
    {
        if ($this->isBlocking) {
            return $this->limitWait();
        }
        do {
            $left = $this->deadline - Clock::now();
            if ($left <= 0) {
                throw $this->tooLate();
            }
            $read = $isWrite ? null : [$this->stream];
            $write = $isWrite ? [$this->stream] : null;
            $except = null;
            $secs = (int) $left;
        } while (!stream_select($read, $write, $except, $secs, (int) (($left - $secs) * 1e6)));
        return true;
    }

    /** Whatever PHP waits for next, it waits until the deadline at most. */
    private function limitWait()
    {
        $left = $this->deadline - Clock::now();
        if ($left <= 0) {
            throw $this->tooLate();
        }
        $secs = (int) $left;
        return stream_set_timeout($this->stream, $secs, max(1, (int) (($left - $secs) * 1e6)));
    }

    private function brokenOff()
    {
        return new ConnectionLost($this->server->name() . ' broke the connection off');
    }

    private function tooLate()
    {
        $secs = Clock::now() - $this->began;
        return new TimedOut(sprintf('no response from %s within %.3F s', $this->server->name(), $secs));
    }
}
