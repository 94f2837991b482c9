<?php

namespace Sharedance\Wire;

use Sharedance\Exception\CannotConnect;
use Sharedance\Options;
use Sharedance\Server;

use function fclose;
use function preg_replace;
use function restore_error_handler;
use function set_error_handler;
use function stream_context_create;
use function stream_get_meta_data;
use function stream_set_chunk_size;
use function stream_socket_client;
use function trim;

/**
 * Opens a stream to a server, or takes up the one that PHP has kept from an earlier request of this worker.
 *
 * Nothing may be carried over from a request that was killed in the middle of an exchange: by its memory or time limit,
 * by exit() in a callback, by a client that left. No code of ours runs then, and no variable survives. What survives is
 * PHP's stream itself, with its chunk size, and that is the mark:
 *
 *     UNTOUCHED   PHP's default: a stream that has carried no byte yet
 *     BUSY        set when it is opened or taken up, and before the first byte of each request is sent
 *     IDLE        set after the last byte of the last response was read, and nothing is left over
 *
 * A kept stream that is BUSY when it is taken up is closed: it may have half a request in one direction, or half a
 * response in the other. One that is IDLE has neither. The mark is set and read with one call that is no system call:
 * stream_set_chunk_size() returns the previous size. The server's confirmation of a nonce (ConnectionPool) is a second
 * proof, of a different kind.
 */
final class KeptStream
{
    const UNTOUCHED = 8192;
    const BUSY = 32767;
    const IDLE = 32768;

    /**
     * @param Server $server
     * @param Options $options
     * @param string|null $keptAs null: PHP closes it at the end of the request. Otherwise it is kept under this name
     * @return array the stream, and whether it is new
     * @throws CannotConnect
     */
    public static function open(Server $server, Options $options, $keptAs)
    {
        $address = $keptAs === null ? $server->address() : $server->persistentAddress($keptAs);
        $flags = STREAM_CLIENT_CONNECT | ($keptAs === null ? 0 : STREAM_CLIENT_PERSISTENT);
        $contextOptions = ['socket' => ['tcp_nodelay' => true]];
        if ($server->isTls) {
            $contextOptions['ssl'] = $options->tlsContext();
        }
        $context = stream_context_create($contextOptions);
        $notice = $error = '';
        set_error_handler(function ($severity, $message) use (&$notice) {
            $notice = $notice === '' ? preg_replace('/^\w+\(\): /', '', $message) : $notice;
            return true;
        });
        try {
            // A second round only for a kept stream that cannot be used.
            for ($round = 0; $round < 2; $round++) {
                $secs = $options->connectTimeoutSecs();
                $stream = stream_socket_client($address, $number, $error, $secs, $flags, $context);
                if (!$stream) {
                    break;
                }
                $mark = $keptAs === null ? self::UNTOUCHED : stream_set_chunk_size($stream, self::BUSY);
                if (self::isUsable($server, $stream, $mark)) {
                    return [$stream, $mark === self::UNTOUCHED];
                }
                fclose($stream);
            }
        } finally {
            restore_error_handler();
        }
        throw new CannotConnect('cannot connect to ' . $server->name() . ': ' . (trim($error) ?: $notice));
    }

    /**
     * @param Server $server
     * @param string $keptAs
     * @return resource|null the stream that PHP keeps under this name, if it can be used; nothing is connected
     */
    public static function find(Server $server, $keptAs)
    {
        // Without STREAM_CLIENT_CONNECT, PHP makes a stream that is connected to nothing where it keeps none.
        $address = $server->persistentAddress($keptAs);
        $stream = stream_socket_client($address, $number, $error, 0, STREAM_CLIENT_PERSISTENT);
        if (!$stream) {
            return null;
        }
        $mark = stream_set_chunk_size($stream, self::BUSY);
        if ($mark === self::IDLE && self::isUsable($server, $stream, $mark)) {
            return $stream;
        }
        fclose($stream);
        return null;
    }

    /** A stream of TLS whose handshake was interrupted would carry clear text. */
    private static function isUsable(Server $server, $stream, $mark)
    {
        return ($mark === self::IDLE || $mark === self::UNTOUCHED)
            && (!$server->isTls || isset(stream_get_meta_data($stream)['crypto']));
    }
}
