<?php

namespace Sharedance\Wire;

use Sharedance\Clock;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\Refused;
use Sharedance\Exception\TimedOut;
use Sharedance\Exception\TooLarge;
use Sharedance\Exception\UnexpectedReply;
use Sharedance\Server;

use function fread;
use function fwrite;
use function implode;
use function max;
use function preg_match;
use function restore_error_handler;
use function sprintf;
use function stream_get_meta_data;
use function stream_select;
use function stream_set_timeout;
use function stream_socket_get_name;
use function strlen;
use function strpos;
use function substr;
use function substr_compare;

/**
 * A request and its responses on one connection, until a deadline: bytes and lines, no dialect. Connection begins it,
 * with its first write and its first read.
 */
final class Exchange
{
    /** Blocking calls write such pieces, so that the time is looked at in between. */
    const PIECE_LEN = 16384;
    /** No line of a response is longer. */
    const MAX_LINE_LEN = 8192;
    /** A slow line to a healthy server carries at least this: large values get more time than small ones. */
    const SLOWEST_BYTES_PER_SEC = 1048576;

    /** @var Connection read-only */
    public $connection;
    private $server;
    private $stream;
    private $isBlocking;
    private $deadline;
    private $buffer;
    private $pos = 0;

    /**
     * @param Connection $connection
     * @param Server $server
     * @param resource $stream
     * @param bool $isBlocking whether calls on the stream wait
     * @param float $deadline as Clock has it
     * @param string $received the beginning of the responses
     */
    public function __construct(Connection $connection, Server $server, $stream, $isBlocking, $deadline, $received)
    {
        $this->connection = $connection;
        $this->server = $server;
        $this->stream = $stream;
        $this->isBlocking = $isBlocking;
        $this->deadline = $deadline + strlen($received) / self::SLOWEST_BYTES_PER_SEC;
        $this->buffer = $received;
    }

    /**
     * Sends the rest of a request.
     *
     * @param string $bytes the request
     * @param int $sent how much of it has been sent
     * @throws ConnectionLost
     * @throws TimedOut
     */
    public function send(
        #[\SensitiveParameter]
        $bytes,
        $sent
    ) {
        $len = strlen($bytes);
        if ($sent === $len) {
            return;
        }
        Notices::keep();
        try {
            $this->deadline += $sent / self::SLOWEST_BYTES_PER_SEC;
            while ($sent < $len) {
                if ($this->isEnded() || Notices::$first !== '') {
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
     * Allows the rest of the exchange more time.
     *
     * @param float $secs
     */
    public function extend($secs)
    {
        $this->deadline += $secs;
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
     * @throws Refused
     * @throws ConnectionLost
     * @throws TimedOut
     * @throws UnexpectedReply
     */
    public function expect($line)
    {
        $found = $this->line();
        if ($found !== $line) {
            throw strpos($found, '_ERROR ') !== false ? Meta::refusal($found)
                : new UnexpectedReply($this->server->name() . ' does not respond like a Sharedance server');
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

    /**
     * Ends the exchange: its responses were read to their end.
     *
     * @throws UnexpectedReply where bytes are left over
     */
    public function finish()
    {
        if ($this->pos !== strlen($this->buffer)) {
            throw new UnexpectedReply($this->server->name() . ' sent more than one response to a request');
        }
        $this->connection->finish();
    }

    /**
     * @return ConnectionLost
     */
    public function brokenOff()
    {
        // With TLS, PHP reports the reason, for example that the server wants a certificate.
        $reason = preg_match('/SSL routines:[^:]*:([ -~]+)/', Notices::$first, $found) ? ' (' . $found[1] . ')' : '';
        return new ConnectionLost($this->server->name() . ' broke the connection off' . $reason);
    }

    public function __debugInfo()
    {
        return ['server' => $this->server->name()];
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
        Notices::keep();
        try {
            $this->await(false);
            while ((string) ($bytes = fread($this->stream, Connection::READ_LEN)) === '' && !$this->isEnded()) {
                $this->await(false);
            }
        } finally {
            restore_error_handler();
        }
        if ($bytes === '' || $bytes === false) {
            // Before PHP 7.4 a read is '' after a reset too; but then the socket no longer has a peer.
            if ($bytes === false || Notices::$first !== '' || stream_socket_get_name($this->stream, true) === false) {
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

    private function tooLate()
    {
        $secs = Clock::now() - $this->connection->began;
        return new TimedOut(sprintf('no response from %s within %.3F s', $this->server->name(), $secs));
    }
}
