<?php

namespace Sharedance\Exception;

/**
 * No connection came about: nobody listens there, the name is unknown, it took too long, a certificate was refused.
 */
class CannotConnect extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
