<?php

namespace Sharedance\Exception;

use Psr\SimpleCache\InvalidArgumentException;

/**
 * A key or a TTL that PSR-16 does not allow.
 */
class InvalidCacheArgument extends \InvalidArgumentException implements SharedanceException, InvalidArgumentException
{
    use WithoutArguments;
}
