<?php

namespace Sharedance;

/**
 * Which of several servers has a key: consistent hashing on libmemcached's weighted continuum, so that ext-memcached with
 * OPT_LIBKETAMA_COMPATIBLE and the Rust client find the same keys on the same servers. Adding a server or taking one away
 * moves only the keys that it gets or had. A server that is down keeps its keys: a session that moved to another server
 * for a minute would be an older one afterwards.
 *
 * A page needs one key or two. Sorting all points costs more than looking at each of them that often, so the sorted
 * continuum is made only for many keys, or when APCu keeps it for the requests to come.
 */
final class ServerRing
{
    /** Of a server of average weight; four of each digest. */
    const POINTS_PER_SERVER = 160;
    const POINTS_PER_DIGEST = 4;
    const PLACE_LEN = 4;
    /** Lookups that go through all points before sorting them pays. */
    const MAX_SCANS = 4;
    const APCU_PREFIX = 'sharedance-continuum-';

    private $servers;
    private $useApcu;
    private $scans = 0;
    /** Place of each point, in the order of the servers and counted from 1, comparable as PHP's integers. */
    private $places;
    /** For each server, the number of its last point. */
    private $lastPoints;
    /** All places in ascending order, of four bytes each, big-endian; behind them the owners, of two bytes each. */
    private $sorted;

    /**
     * @param Server[] $servers at least one
     * @param bool $useApcu whether APCu may keep the sorted continuum
     */
    public function __construct(array $servers, $useApcu = true)
    {
        $this->servers = array_values($servers);
        $this->useApcu = $useApcu && function_exists('apcu_enabled') && apcu_enabled();
    }

    /**
     * @return Server[]
     */
    public function servers()
    {
        return $this->servers;
    }

    /**
     * @param string $key
     * @return Server
     */
    public function serverOf(
        #[\SensitiveParameter]
        $key
    ) {
        if (count($this->servers) === 1) {
            return $this->servers[0];
        }
        $digest = md5($key, true);
        if ($this->sorted === null) {
            if (!$this->useApcu && $this->scans < self::MAX_SCANS) {
                $this->scans++;
                return $this->servers[$this->scan($digest)];
            }
            $this->sorted = $this->useApcu ? $this->sortedOfApcu() : $this->sort();
        }
        return $this->servers[$this->search(strrev(substr($digest, 0, self::PLACE_LEN)))];
    }

    /**
     * @return array[] place of a point (four bytes, big-endian) and number of its server, in ascending order
     */
    public function points()
    {
        $sorted = $this->sort();
        $count = (int) (strlen($sorted) / (self::PLACE_LEN + 2));
        $points = [];
        for ($i = 0; $i < $count; $i++) {
            $points[] = [substr($sorted, $i * self::PLACE_LEN, self::PLACE_LEN), $this->ownerAt($sorted, $count, $i)];
        }
        return $points;
    }

    /** The owner of the first point at or behind the key, and of the very first one where there is none. */
    private function scan(
        #[\SensitiveParameter]
        $digest
    ) {
        $this->compute();
        $place = self::comparable(unpack('V', $digest))[1];
        $next = $first = 0;
        $nextPlace = $firstPlace = PHP_INT_MAX;
        foreach ($this->places as $i => $point) {
            if ($point >= $place) {
                if ($point < $nextPlace || $next === 0) {
                    $next = $i;
                    $nextPlace = $point;
                }
            } elseif ($point < $firstPlace) {
                $first = $i;
                $firstPlace = $point;
            }
        }
        $owner = 0;
        while ($this->lastPoints[$owner] < ($next ?: $first)) {
            $owner++;
        }
        return $owner;
    }

    /** The same, by binary search. */
    private function search(
        #[\SensitiveParameter]
        $place
    ) {
        $count = (int) (strlen($this->sorted) / (self::PLACE_LEN + 2));
        list($from, $to) = [0, $count];
        while ($from < $to) {
            $middle = ($from + $to) >> 1;
            if (strcmp(substr($this->sorted, $middle * self::PLACE_LEN, self::PLACE_LEN), $place) < 0) {
                $from = $middle + 1;
            } else {
                $to = $middle;
            }
        }
        return $this->ownerAt($this->sorted, $count, $from === $count ? 0 : $from);
    }

    private function ownerAt($sorted, $count, $index)
    {
        return unpack('n', substr($sorted, $count * self::PLACE_LEN + $index * 2, 2))[1];
    }

    private function compute()
    {
        if ($this->places !== null) {
            return;
        }
        $digests = [];
        $this->lastPoints = [];
        foreach ($this->digestsOfServers() as $server => $count) {
            $name = $this->servers[$server]->nameOnContinuum() . '-';
            for ($i = 0; $i < $count; $i++) {
                $digests[] = md5($name . $i, true);
            }
            $this->lastPoints[] = count($digests) * self::POINTS_PER_DIGEST;
        }
        $this->places = self::comparable(unpack('V*', implode('', $digests)));
    }

    /**
     * As libmemcached computes them, in single precision: for some weights the result is a little too small, and one
     * digest is missing. A server whose weight is tiny compared with the others' has none.
     */
    private function digestsOfServers()
    {
        $single = function ($number) {
            return unpack('f', pack('f', $number))[1];
        };
        $weights = array_map(function (Server $server) {
            return $server->weight();
        }, $this->servers);
        list($total, $count) = [$single(array_sum($weights)), count($weights)];
        $digests = self::POINTS_PER_SERVER / self::POINTS_PER_DIGEST;
        return array_map(function ($weight) use ($single, $total, $count, $digests) {
            $share = $single($single($weight) / $total);
            // The division by four is exact, so one rounding gives the same result as libmemcached's two.
            return (int) floor($single($single($share * $digests) * $count));
        }, $weights);
    }

    /** Where an integer has 32 bits, those above 2^31 came out negative. */
    private static function comparable(array $places)
    {
        if (PHP_INT_SIZE === 4) {
            foreach ($places as $i => $place) {
                $places[$i] = $place ^ ~PHP_INT_MAX;
            }
        }
        return $places;
    }

    private function sort()
    {
        $this->compute();
        // Of several points at one place the first server's counts, so it is entered last.
        $owners = [];
        for ($server = count($this->servers) - 1; $server >= 0; $server--) {
            $begin = $server === 0 ? 0 : $this->lastPoints[$server - 1];
            for ($i = $this->lastPoints[$server]; $i > $begin; $i--) {
                $owners[$this->places[$i]] = $server;
            }
        }
        ksort($owners, SORT_NUMERIC);
        $places = self::comparable(array_keys($owners));
        return pack('N*', ...$places) . pack('n*', ...array_values($owners));
    }

    private function sortedOfApcu()
    {
        $names = array_map(function (Server $server) {
            return $server->nameOnContinuum() . ' ' . $server->weight();
        }, $this->servers);
        $name = self::APCU_PREFIX . md5(implode("\n", $names));
        $sorted = apcu_fetch($name);
        if (!is_string($sorted)) {
            $sorted = $this->sort();
            apcu_store($name, $sorted);
        }
        return $sorted;
    }
}
