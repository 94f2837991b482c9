<?php

namespace Sharedance\Exception;

/**
 * Another client did not release the lock within the time that was allowed.
 */
class LockTimedOut extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
