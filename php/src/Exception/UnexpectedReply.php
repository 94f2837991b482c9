<?php

namespace Sharedance\Exception;

/**
 * The response does not belong to the request: the peer is not a Sharedance server.
 */
class UnexpectedReply extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
