<?php

namespace Sharedance\Exception;

/**
 * The server does not accept the user and password.
 */
class WrongCredentials extends Refused
{
}
