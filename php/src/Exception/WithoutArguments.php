<?php

namespace Sharedance\Exception;

/**
 * Takes the arguments out of an exception's trace: among them are keys and values. PHP leaves them out by itself only
 * where zend.exception_ignore_args says so, which versions before 7.4 do not know.
 */
trait WithoutArguments
{
    /**
     * @param string $message
     */
    public function __construct($message)
    {
        parent::__construct($message);
        $trace = $this->getTrace();
        foreach (array_keys($trace) as $i) {
            unset($trace[$i]['args']);
        }
        $property = new \ReflectionProperty('Exception', 'trace');
        if (PHP_VERSION_ID < 80100) {
            $property->setAccessible(true);
        }
        $property->setValue($this, $trace);
    }
}
