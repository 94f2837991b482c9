<?php

namespace Sharedance\Exception;

/**
 * Another client has changed, created or deleted the pair since it was read. Nothing was overwritten.
 */
class Conflict extends \RuntimeException implements SharedanceException
{
    use WithoutArguments;
}
