<?php

namespace Sharedance\Session;

/**
 * What session.upload_progress does to sessions of another handler. For a form with a field of its name, PHP opens a
 * session before any script runs, with the handler of php.ini. In strict mode that one does not know the visitor's id,
 * makes a new one, and sends it as a cookie: the visitor would be logged out by an upload.
 */
final class UploadProgress
{
    /** Takes back the cookie, if PHP has sent one for an upload. */
    public static function keepCookie()
    {
        if (empty($_FILES) || !isset($_POST[(string) ini_get('session.upload_progress.name')]) || headers_sent()) {
            return;
        }
        $name = 'Set-Cookie: ' . session_name() . '=';
        $cookies = preg_grep('/^Set-Cookie:/i', headers_list());
        $others = array_filter($cookies, function ($cookie) use ($name) {
            return strncasecmp($cookie, $name, strlen($name)) !== 0;
        });
        if (count($others) < count($cookies)) {
            header_remove('Set-Cookie');
            foreach ($others as $cookie) {
                header($cookie, false);
            }
        }
    }
}
