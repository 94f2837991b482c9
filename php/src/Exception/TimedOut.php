<?php

namespace Sharedance\Exception;

/**
 * The server took the connection, but did not answer, or did not take the request, within the time that was allowed.
 */
class TimedOut extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
