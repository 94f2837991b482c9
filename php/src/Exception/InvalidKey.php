<?php

namespace Sharedance\Exception;

/**
 * No server would take this key. Nothing was sent.
 */
class InvalidKey extends \InvalidArgumentException implements SharedanceException
{
    use WithoutArguments;
}
