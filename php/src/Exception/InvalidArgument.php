<?php

namespace Sharedance\Exception;

/**
 * An argument has a type or a value that it cannot have. Nothing was sent.
 */
class InvalidArgument extends \InvalidArgumentException implements SharedanceException
{
    use WithoutArguments;
}
