<?php

namespace Sharedance;

/**
 * Remembers, for the requests that this worker process serves next, that a server could not be reached, so that a dead
 * server does not cost each of them its time-out. PHP keeps nothing between two requests; a small file of this process
 * does. Nothing depends on it: where it cannot be written, the next request just tries.
 */
final class Outage
{
    const PAUSE_SECS = 2.0;
    const NEVER = -INF;

    private $folder;
    private $since = [];

    /**
     * @param string|null $folder null: the one for temporary files
     */
    public function __construct($folder = null)
    {
        $this->folder = $folder === null ? sys_get_temp_dir() : $folder;
    }

    /**
     * @param Server $server
     * @return float seconds for which the server is to be left alone, 0.0 if it is not
     */
    public function secondsLeft(Server $server)
    {
        $address = $server->address();
        if (!isset($this->since[$address])) {
            $this->since[$address] = $this->read($this->path($server));
        }
        $passed = Clock::now() - $this->since[$address];
        // A time to come is of another boot.
        if ($passed >= 0.0 && $passed < self::PAUSE_SECS) {
            return self::PAUSE_SECS - $passed;
        }
        if ($this->since[$address] !== self::NEVER) {
            $this->since[$address] = self::NEVER;
            $this->remove($this->path($server));
        }
        return 0.0;
    }

    /**
     * @param Server $server
     */
    public function begin(Server $server)
    {
        $now = Clock::now();
        $this->since[$server->address()] = $now;
        $path = $this->path($server);
        $this->remove($path);
        self::quietly(function () use ($path, $now) {
            // 'x': never through a link that somebody else has put there.
            $file = fopen($path, 'x');
            if ($file) {
                fwrite($file, sprintf('%.6F', $now));
                fclose($file);
            }
        });
    }

    private function read($path)
    {
        return self::quietly(function () use ($path) {
            if (!is_file($path) || (function_exists('posix_geteuid') && fileowner($path) !== posix_geteuid())) {
                return self::NEVER;
            }
            return (float) file_get_contents($path);
        });
    }

    private function remove($path)
    {
        self::quietly(function () use ($path) {
            unlink($path);
        });
    }

    private function path(Server $server)
    {
        return $this->folder . '/sharedance-' . sha1($server->address()) . '-' . getmypid() . '.down';
    }

    /** Without a word where the folder cannot be used, or is outside of open_basedir. */
    private static function quietly(callable $deed)
    {
        set_error_handler(function () {
            return true;
        });
        try {
            return $deed();
        } finally {
            restore_error_handler();
        }
    }
}
