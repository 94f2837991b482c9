<?php

namespace Psr\SimpleCache;

/*
 * The declarations of psr/simple-cache without comments. Its versions differ in the types of the methods.
 */

interface CacheException extends \Throwable
{
}

interface InvalidArgumentException extends CacheException
{
}
