<?php

namespace Sharedance\Exception;

/**
 * What came back is no answer to the request: something else than a Sharedance server listens there.
 */
class UnexpectedReply extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
