<?php

namespace Psr\SimpleCache;

/*
 * The declarations of psr/simple-cache, whose versions differ in the types of the methods. Without its comments.
 */

interface CacheException extends \Throwable
{
}

interface InvalidArgumentException extends CacheException
{
}
