<?php

namespace Sharedance\Session;

/**
 * The one warning for a failure of the session handler. PHP adds one of its own, which tells less, and is left out.
 */
final class Warning
{
    /**
     * @param string $message
     * @param string|null $echo what PHP's own warning matches, which follows where the handler returns false
     */
    public static function raise($message, $echo)
    {
        try {
            trigger_error($message, E_USER_WARNING);
        } catch (\Throwable $thrown) {
            // The application makes exceptions of warnings. PHP's own warning, which follows, is a better place for
            // one: out of here it would keep close() from being called.
            error_log($message);
            return;
        }
        if ($echo !== null) {
            self::skip($echo);
        }
    }

    private static function skip($pattern)
    {
        $isDue = true;
        $previous = set_error_handler(function (...$error) use (&$previous, &$isDue, $pattern) {
            if ($isDue) {
                $isDue = false;
                restore_error_handler();
                if (preg_match('/' . $pattern . '/', $error[1])) {
                    return true;
                }
            }
            return $previous === null ? false : call_user_func_array($previous, $error);
        });
    }
}
