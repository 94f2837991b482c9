<?php

namespace Sharedance\Exception;

/**
 * A setting has a value that it cannot have.
 */
class InvalidOption extends \InvalidArgumentException implements SharedanceException
{
    use WithoutArguments;
}
