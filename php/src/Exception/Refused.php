<?php

namespace Sharedance\Exception;

/**
 * The server closed the connection without an answer: it refuses the request, or it went away.
 */
class Refused extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
