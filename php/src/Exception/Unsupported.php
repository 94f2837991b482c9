<?php

namespace Sharedance\Exception;

/**
 * The server speaks only the classic dialect, or is set to, and that has no such request.
 */
class Unsupported extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
