<?php

namespace Sharedance;

use function hrtime;
use function microtime;

/**
 * The only place that asks the system for the time: seconds that no clock step moves, the same in all processes of a
 * machine where PHP has them (7.3 and later). They are good for durations, and for nothing else.
 */
final class Clock
{
    /**
     * @return float seconds since some moment in the past
     */
    public static function now()
    {
        return PHP_VERSION_ID >= 70300 ? hrtime(true) / 1e9 : microtime(true);
    }
}
