<?php

namespace Sharedance;

/**
 * Which of several servers has a key: consistent hashing, by the highest of one digest for each server. The order of
 * the list does not matter; taking a server away moves only the keys that it had. A server that is down keeps its keys:
 * a session that moved elsewhere for a minute would come back as an older one.
 */
final class ServerRing
{
    private $servers;

    /**
     * @param Server[] $servers at least one
     */
    public function __construct(array $servers)
    {
        $this->servers = array_values($servers);
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
        $highest = '';
        $chosen = null;
        foreach ($this->servers as $server) {
            // Compared as text: an integer of PHP may have 32 bits only.
            $digest = md5($server->address() . "\n" . $key);
            if (strcmp($digest, $highest) > 0) {
                $highest = $digest;
                $chosen = $server;
            }
        }
        return $chosen;
    }
}
