<?php

namespace Sharedance\Exception;

/**
 * No connection was made: no server listens there, the name is unknown, it took too long, a certificate was refused.
 */
class CannotConnect extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
