<?php

namespace Sharedance\Wire;

use function set_error_handler;
use function strpos;

/**
 * Keeps what PHP reports while a stream is used. It becomes part of an exception: nothing here raises an error of PHP.
 */
final class Notices
{
    /** @var string the first one, which is the cause of the others; Connection::start() empties it */
    public static $first = '';
    private static $handler;

    /** Until restore_error_handler(). The operator @ would not do: it calls the error handlers of applications. */
    public static function keep()
    {
        if (self::$handler === null) {
            self::$handler = static function ($severity, $message) {
                // A signal that interrupts select() is not an error.
                if (self::$first === '' && strpos($message, 'select') === false) {
                    self::$first = $message;
                }
                return true;
            };
        }
        set_error_handler(self::$handler);
    }
}
