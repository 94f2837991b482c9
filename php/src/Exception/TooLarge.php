<?php

namespace Sharedance\Exception;

/**
 * A request or an answer is larger than the limit. A request is refused before any byte of it is sent.
 */
class TooLarge extends \LengthException implements SharedanceException
{
    use WithoutArguments;
}
