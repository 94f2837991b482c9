<?php

namespace Sharedance;

use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\InvalidOption;
use Sharedance\Exception\SharedanceException;

/**
 * What is behind the functions of sharedance.php: the server that was chosen, and their results, in which 0, -1 and
 * FALSE replace the exceptions of Client. They speak the classic dialect, as they always did. A page that opens another
 * server here does not move its session there.
 */
final class ClassicFunctions
{
    const DONE = 0;
    const FAILED = -1;

    private static $client;
    private static $settings;

    public static function open($host, $port, $timeout)
    {
        if (empty($host)) {
            return self::FAILED;
        }
        $settings = ['host' => $host, 'connect_timeout' => $timeout, 'protocol' => Options::CLASSIC];
        if (strncmp($host, 'unix://', 7) !== 0) {
            $settings['port'] = $port;
        }
        try {
            $client = $settings === self::$settings ? self::$client : new Client($settings);
            $client->connect();
        } catch (InvalidOption $failure) {
            trigger_error('sharedance_open(): ' . $failure->getMessage(), E_USER_WARNING);
            return self::FAILED;
        } catch (SharedanceException $failure) {
            return self::FAILED;
        }
        if ($client !== self::$client) {
            self::close();
        }
        self::$client = $client;
        self::$settings = $settings;
        return self::DONE;
    }

    public static function reopen()
    {
        return self::attempt(function (Client $client) {
            $client->connect();
            return self::DONE;
        });
    }

    public static function close()
    {
        if (self::$client !== null) {
            self::$client->close();
        }
    }

    public static function store(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $data
    ) {
        return self::attempt(function (Client $client) use ($key, $data) {
            $client->store((string) $key, (string) $data);
            return self::DONE;
        });
    }

    public static function fetch(
        #[\SensitiveParameter]
        $key
    ) {
        return self::attempt(function (Client $client) use ($key) {
            $data = $client->fetch((string) $key);
            return $data === null ? false : $data;
        }, false);
    }

    public static function delete(
        #[\SensitiveParameter]
        $key
    ) {
        return self::attempt(function (Client $client) use ($key) {
            return $client->delete((string) $key) ? self::DONE : self::FAILED;
        });
    }

    private static function attempt(callable $deed, $failed = self::FAILED)
    {
        try {
            if (self::$client === null && self::isWithSessions()) {
                self::$client = new Client(['protocol' => Options::CLASSIC]);
            }
            return self::$client === null ? self::FAILED : $deed(self::$client);
        } catch (InvalidOption $failure) {
            trigger_error('Sharedance: ' . $failure->getMessage(), E_USER_WARNING);
            return self::FAILED;
        } catch (CannotConnect $failure) {
            return self::FAILED;
        } catch (SharedanceException $failure) {
            return $failed;
        }
    }

    /**
     * With session_handler.php, pages can call the functions without sharedance_open(): they use the servers of the
     * settings, as with the first Sharedance.
     */
    private static function isWithSessions()
    {
        $handler = dirname(__DIR__) . DIRECTORY_SEPARATOR . 'session_handler.php';
        return in_array($handler, get_included_files(), true);
    }
}
