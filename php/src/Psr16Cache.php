<?php

namespace Sharedance;

use Psr\SimpleCache\CacheInterface;
use Sharedance\Cache\SimpleCache;

/*
 * One class for psr/simple-cache 1, 2 and 3. Version 3 wants get() to declare the type mixed, which PHP 7 does not have;
 * all other declarations of SimpleCache fit each version. To PHP 7 the second class is valid too: it is never declared
 * there.
 */
if (!(new \ReflectionMethod(CacheInterface::class, 'get'))->hasReturnType()) {
    /**
     * Cache of psr/simple-cache on Sharedance. See SimpleCache for its options.
     */
    class Psr16Cache extends SimpleCache
    {
        public function get($key, $default = null)
        {
            return $this->valueOf($key, $default);
        }
    }
} else {
    class Psr16Cache extends SimpleCache
    {
        public function get($key, $default = null): mixed
        {
            return $this->valueOf($key, $default);
        }
    }
}
