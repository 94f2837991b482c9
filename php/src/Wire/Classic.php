<?php

namespace Sharedance\Wire;

use function pack;
use function preg_match;
use function strlen;

/**
 * The bytes of the classic dialect, one request a connection. No I/O, and no policy but the rules for keys.
 */
final class Classic
{
    const MAX_KEY_LEN = 250;
    const STORE_HEADER_LEN = 9;
    /** The answer to a store, and to a delete that found its pair. Where there is nothing to say the server just closes. */
    const DONE = "OK\n";

    /**
     * @param string $key
     * @return string|null what is wrong with it, without repeating it; null if it is good
     */
    public static function keyFault(
        #[\SensitiveParameter]
        $key
    ) {
        if ($key === '') {
            return 'a key cannot be empty';
        }
        if (strlen($key) > self::MAX_KEY_LEN) {
            return 'a key has at most ' . self::MAX_KEY_LEN . ' bytes, this one has ' . strlen($key);
        }
        if (preg_match('~[^ -\~]|[./]~', $key)) {
            return 'a key consists of printable ASCII characters other than . and /';
        }
        return null;
    }

    /**
     * @param string $key
     * @param string $data
     * @return string
     */
    public static function store(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $data
    ) {
        return 'S' . pack('NN', strlen($key), strlen($data)) . $key . $data;
    }

    /**
     * @param string $key
     * @return string
     */
    public static function fetch(
        #[\SensitiveParameter]
        $key
    ) {
        return 'F' . pack('N', strlen($key)) . $key;
    }

    /**
     * @param string $key
     * @return string
     */
    public static function delete(
        #[\SensitiveParameter]
        $key
    ) {
        return 'D' . pack('N', strlen($key)) . $key;
    }
}
