<?php

namespace Sharedance\Wire;

use Sharedance\Exception\SharedanceException;
use Sharedance\Server;

/**
 * Requests for many keys of one server: a batch is sent before its first response is read. A batch is small enough for
 * the buffers of a connection, so that no side waits for the other to read.
 */
final class Batch
{
    const MAX_REQUESTS = 100;
    const MAX_BYTES = 65536;

    private $pool;
    private $server;
    private $ifDead;
    private $reader;
    private $request = '';
    private $keys = [];
    private $results = [];

    /**
     * @param ConnectionPool $pool
     * @param Server $server
     * @param string $ifDead see ConnectionPool::ask()
     * @param string $reader the method of Meta that reads one response
     */
    public function __construct(ConnectionPool $pool, Server $server, $ifDead, $reader)
    {
        $this->pool = $pool;
        $this->server = $server;
        $this->ifDead = $ifDead;
        $this->reader = $reader;
    }

    /**
     * @param string $key
     * @param string $request
     * @throws SharedanceException
     */
    public function add(
        #[\SensitiveParameter]
        $key,
        #[\SensitiveParameter]
        $request
    ) {
        $this->keys[] = $key;
        $this->request .= $request;
        if (count($this->keys) === self::MAX_REQUESTS || strlen($this->request) > self::MAX_BYTES) {
            $this->send();
        }
    }

    /**
     * @return array the responses by their keys
     * @throws SharedanceException
     */
    public function results()
    {
        if ($this->keys) {
            $this->send();
        }
        return $this->results;
    }

    private function send()
    {
        $this->results += $this->pool->ask(
            $this->server,
            $this->request,
            $this->ifDead,
            function (Exchange $exchange) {
                $failure = null;
                $results = [];
                foreach ($this->keys as $key) {
                    $results[$key] = $result = Meta::{$this->reader}($exchange);
                    $failure = $result instanceof SharedanceException ? $result : $failure;
                }
                return $failure === null ? $results : $failure;
            }
        );
        list($this->request, $this->keys) = ['', []];
    }

    public function __debugInfo()
    {
        return ['server' => $this->server->name(), 'requests' => count($this->keys)];
    }
}
