<?php

namespace Sharedance\Session;

use Sharedance\Exception\InvalidKey;

use function preg_match;
use function strlen;

/**
 * The id of a session, which is a credential and comes from a cookie, in an object: traces and dumps show no more of it
 * than the class.
 */
final class SessionKey
{
    /** The server's limit. */
    const MAX_LEN = 250;

    private $prefix;
    private $id;
    private $key;

    /**
     * @param string $prefix
     * @param string $id
     */
    public function __construct(
        $prefix,
        #[\SensitiveParameter]
        $id
    ) {
        $this->prefix = $prefix;
        $this->id = (string) $id;
        $this->key = $prefix . $id;
    }

    /**
     * @return string
     */
    public function id()
    {
        return $this->id;
    }

    /**
     * @return string the key on the server
     */
    public function key()
    {
        return $this->key;
    }

    /**
     * @return bool whether it is an id of PHP, or one in base64url, as frameworks make them
     */
    public function isWellFormed()
    {
        return strlen($this->key) <= self::MAX_LEN && preg_match('/^[A-Za-z0-9,_-]+$/D', $this->id);
    }

    /**
     * @throws InvalidKey
     */
    public function check()
    {
        if (!$this->isWellFormed()) {
            throw new InvalidKey('its id is too long, or has other characters than A-Z a-z 0-9 , - _');
        }
    }

    public function __debugInfo()
    {
        return ['prefix' => $this->prefix];
    }
}
