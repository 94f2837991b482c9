<?php

namespace Sharedance\Session;

use Sharedance\Exception\ConnectionLost;

use function pack;
use function strlen;
use function strncmp;
use function substr;

/**
 * What stands around the data of a session: in the classic dialect an answer ends where the connection ends, so one that
 * is cut by a server that dies looks whole. The length in front tells. It also makes a session that is empty something
 * else than a session that is missing.
 *
 *     0  4  "\0SD1"
 *     4  4  length of the data, big-endian
 *     8     the data
 *
 * No serializer of PHP begins its output like this, so data without an envelope (of the first Sharedance's library, or
 * of other programs) are taken for what they are.
 */
final class Envelope
{
    const MAGIC = "\0SD1";
    const HEADER_LEN = 8;

    /**
     * @param string $data
     * @return string the same for the same data, so that the server recognises an unchanged session
     */
    public static function seal(
        #[\SensitiveParameter]
        $data
    ) {
        return self::MAGIC . pack('N', strlen($data)) . $data;
    }

    /**
     * @param string $bytes
     * @return string
     * @throws ConnectionLost where they are not whole
     */
    public static function open(
        #[\SensitiveParameter]
        $bytes
    ) {
        if ($bytes === '') {
            return '';
        }
        $head = (string) substr($bytes, 0, strlen(self::MAGIC));
        if (strncmp($head, self::MAGIC, strlen($head)) !== 0) {
            return $bytes;
        }
        // Compared as bytes: as an integer of 32 bits a length could be negative.
        $data = (string) substr($bytes, self::HEADER_LEN);
        if ((string) substr($bytes, strlen(self::MAGIC), 4) !== pack('N', strlen($data))) {
            throw new ConnectionLost('the answer was cut: only ' . strlen($bytes) . ' bytes arrived');
        }
        return $data;
    }
}
