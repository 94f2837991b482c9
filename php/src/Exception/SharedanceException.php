<?php

namespace Sharedance\Exception;

/**
 * Whatever goes wrong with a server. The classes are named after what happened; no message and no trace carries a key
 * or a value, since the key of a session is a credential.
 */
interface SharedanceException extends \Throwable
{
}
