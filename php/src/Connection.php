<?php

namespace Sharedance;

use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\ConnectionLost;
use Sharedance\Exception\TimedOut;

/**
 * One connection to one server. It knows bytes and time, and no dialect. It tells the end of the bytes from a broken
 * connection and from a server that is silent, which PHP's stream functions mix up, and it never waits for longer than
 * the time it was allowed, however the bytes trickle.
 *
 * Nothing here raises an error of PHP: what PHP has to say goes into the exception.
 */
final class Connection
{
    /** Written in such pieces, so that the time is looked at in between. */
    const PIECE_LEN = 16384;
    /** Enough for most answers; one that fills it is read on in larger steps. */
    const FIRST_READ_LEN = 8192;
    const READ_LEN = 65536;
    /** A slow line to a healthy server carries at least this: large values get more time than small ones. */
    const SLOWEST_BYTES_PER_SEC = 1048576;

    private $server;
    private $stream;
    private $readLen = self::FIRST_READ_LEN;
    private $began = 0.0;
    private $deadline = 0.0;
    private $notice = '';

    /**
     * @param Server $server
     * @param float $timeoutSecs to connect, TLS included. Looking up a name is not bounded by it: PHP cannot
     * @throws CannotConnect
     */
    public function __construct(Server $server, $timeoutSecs)
    {
        $this->server = $server;
        $context = stream_context_create(['socket' => ['tcp_nodelay' => true]]);
        $error = '';
        $this->catchNotices();
        try {
            $stream = stream_socket_client(
                $server->address(),
                $number,
                $error,
                $timeoutSecs,
                STREAM_CLIENT_CONNECT,
                $context
            );
        } finally {
            restore_error_handler();
        }
        if (!$stream) {
            $reason = trim($error) !== '' ? trim($error) : $this->notice;
            throw new CannotConnect('cannot connect to ' . $server->name() . ': ' . $reason);
        }
        $this->stream = $stream;
    }

    /**
     * From now on, sending and receiving together may take this long, and a second more for each MiB that passes.
     *
     * @param float $secs
     */
    public function allow($secs)
    {
        $this->began = Clock::now();
        $this->deadline = $this->began + $secs;
    }

    /**
     * @return bool false once the server has closed, or sent anything: it is not its turn
     */
    public function isOpen()
    {
        $this->catchNotices();
        try {
            // Not feof(): before PHP 8 it waits for ever with TLS.
            stream_set_blocking($this->stream, false);
            $bytes = fread($this->stream, 1);
            stream_set_blocking($this->stream, true);
            return (string) $bytes === '' && !stream_get_meta_data($this->stream)['eof'];
        } finally {
            restore_error_handler();
        }
    }

    /**
     * @param string $bytes
     * @throws ConnectionLost
     * @throws TimedOut
     */
    public function send(
        #[\SensitiveParameter]
        $bytes
    ) {
        $len = strlen($bytes);
        $this->catchNotices();
        try {
            for ($sent = 0; $sent < $len; $sent += $written) {
                $this->limitWait();
                $written = fwrite($this->stream, substr($bytes, $sent, self::PIECE_LEN));
                if (!$written) {
                    if (stream_get_meta_data($this->stream)['timed_out']) {
                        throw $this->tooLate();
                    }
                    throw new ConnectionLost(sprintf(
                        '%s closed the connection when %d of %d bytes were sent',
                        $this->server->name(),
                        $sent,
                        $len
                    ));
                }
                $this->deadline += $written / self::SLOWEST_BYTES_PER_SEC;
            }
        } finally {
            restore_error_handler();
        }
    }

    /**
     * @return string some bytes; '' at the end, which the server brought about in good order
     * @throws ConnectionLost
     * @throws TimedOut
     */
    public function receive()
    {
        $this->catchNotices();
        try {
            do {
                $this->limitWait();
                $bytes = fread($this->stream, $this->readLen);
                $state = stream_get_meta_data($this->stream);
                if ($state['timed_out']) {
                    throw $this->tooLate();
                }
            } while (($bytes === '' || $bytes === false) && !$state['eof']);
            if ($bytes === '' || $bytes === false) {
                $this->tellEndFromReset($bytes);
                return '';
            }
            if (strlen($bytes) === self::FIRST_READ_LEN) {
                $this->readLen = self::READ_LEN;
                stream_set_chunk_size($this->stream, self::READ_LEN);
            }
            $this->deadline += strlen($bytes) / self::SLOWEST_BYTES_PER_SEC;
            return $bytes;
        } finally {
            restore_error_handler();
        }
    }

    public function close()
    {
        fclose($this->stream);
    }

    /** Before 7.4 a read is '' after a reset too; but then the socket has no peer any more. */
    private function tellEndFromReset($bytes)
    {
        if ($bytes === false || stream_socket_get_name($this->stream, true) === false) {
            throw new ConnectionLost($this->server->name() . ' broke the connection off');
        }
    }

    /** Whatever PHP waits for next, it waits until the deadline at most. */
    private function limitWait()
    {
        $left = $this->deadline - Clock::now();
        if ($left <= 0) {
            throw $this->tooLate();
        }
        $secs = (int) floor($left);
        stream_set_timeout($this->stream, $secs, max(1, (int) (($left - $secs) * 1e6)));
    }

    private function tooLate()
    {
        $secs = Clock::now() - $this->began;
        return new TimedOut(sprintf('no answer from %s within %.3F s', $this->server->name(), $secs));
    }

    /** Until restore_error_handler(). An operator @ would not do: handlers of applications are called all the same. */
    private function catchNotices()
    {
        set_error_handler(function ($severity, $message) {
            // The first is the cause, of several.
            $this->notice = $this->notice === '' ? preg_replace('/^\w+\(\): /', '', $message) : $this->notice;
            return true;
        });
    }
}
