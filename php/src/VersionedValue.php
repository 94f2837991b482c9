<?php

namespace Sharedance;

/**
 * A value, and the version that it had when it was read, for Client::cas().
 */
final class VersionedValue
{
    /** @var string */
    public $value;
    /** @var string decimal digits: a version has 64 bits, and an integer of PHP may have 32 */
    public $version;

    /**
     * @param string $value
     * @param string $version
     */
    public function __construct(
        #[\SensitiveParameter]
        $value,
        $version
    ) {
        $this->value = $value;
        $this->version = $version;
    }

    public function __debugInfo()
    {
        return ['length' => strlen($this->value), 'version' => $this->version];
    }
}
