<?php

namespace Sharedance\Exception;

/**
 * The connection broke, or ended, before the answer was whole. Whether a store or delete took place is unknown.
 */
class ConnectionLost extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
