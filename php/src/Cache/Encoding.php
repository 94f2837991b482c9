<?php

namespace Sharedance\Cache;

use Sharedance\Exception\InvalidOption;

/**
 * Values of PHP as bytes. Two letters in front name the serializer and the compression, so that both can be changed
 * while values are there.
 */
final class Encoding
{
    const HEADER_LEN = 2;
    const SERIALIZERS = ['php' => 'p', 'igbinary' => 'i', 'json' => 'j'];
    const COMPRESSIONS = ['none' => '-', 'zlib' => 'z', 'zstd' => 's'];

    private $serializer;
    private $compression;
    private $compressAbove;

    /**
     * @param string $serializer php, igbinary or json
     * @param string $compression zstd, zlib or auto
     * @param int|null $compressAbove bytes; null: nothing is compressed
     * @throws InvalidOption
     */
    public function __construct($serializer, $compression, $compressAbove)
    {
        if (!is_string($serializer) || !isset(self::SERIALIZERS[$serializer])) {
            throw new InvalidOption('A serializer is php, igbinary or json');
        }
        if ($serializer === 'igbinary' && !function_exists('igbinary_serialize')) {
            throw new InvalidOption('The serializer igbinary needs the extension igbinary');
        }
        if (!in_array($compression, ['auto', 'zstd', 'zlib'], true)) {
            throw new InvalidOption('A compression is zstd, zlib or auto');
        }
        if ($compressAbove !== null && (!is_int($compressAbove) || $compressAbove < 0)) {
            throw new InvalidOption('The option compress_above is a number of bytes, or null');
        }
        if ($compression === 'auto') {
            $compression = function_exists('zstd_compress') ? 'zstd' : 'zlib';
        }
        if ($compressAbove !== null && !function_exists($compression === 'zstd' ? 'zstd_compress' : 'gzcompress')) {
            throw new InvalidOption("To compress values, PHP needs the extension $compression");
        }
        $this->serializer = $serializer;
        $this->compression = $compression;
        $this->compressAbove = $compressAbove;
    }

    /**
     * @param mixed $value
     * @return string
     * @throws \Exception where the value cannot be serialized
     */
    public function encode($value)
    {
        $bytes = $this->serialize($value);
        $compression = 'none';
        if ($this->compressAbove !== null && strlen($bytes) > $this->compressAbove) {
            $smaller = $this->compression === 'zstd' ? zstd_compress($bytes) : gzcompress($bytes);
            if (is_string($smaller) && strlen($smaller) < strlen($bytes)) {
                list($bytes, $compression) = [$smaller, $this->compression];
            }
        }
        return self::SERIALIZERS[$this->serializer] . self::COMPRESSIONS[$compression] . $bytes;
    }

    /**
     * @param string $bytes
     * @return mixed
     * @throws \Exception where they cannot be decoded here
     */
    public function decode($bytes)
    {
        $serializer = array_search(substr($bytes, 0, 1), self::SERIALIZERS, true);
        $compression = array_search((string) substr($bytes, 1, 1), self::COMPRESSIONS, true);
        $decompress = ['none' => 'strval', 'zlib' => 'gzuncompress', 'zstd' => 'zstd_uncompress'];
        if (!$serializer || !$compression || !function_exists($decompress[$compression])
            || ($serializer === 'igbinary' && !function_exists('igbinary_unserialize'))) {
            throw new \UnexpectedValueException('a cached value has an encoding that this PHP does not know');
        }
        return self::withoutNotices(function () use ($bytes, $serializer, $decompress, $compression) {
            $serialized = call_user_func($decompress[$compression], (string) substr($bytes, self::HEADER_LEN));
            if (is_string($serialized)) {
                return self::unserialize($serializer, $serialized);
            }
            throw new \UnexpectedValueException('a cached value cannot be decompressed');
        });
    }

    private function serialize($value)
    {
        switch ($this->serializer) {
            case 'igbinary':
                return igbinary_serialize($value);
            case 'json':
                $bytes = json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION);
                if ($bytes === false) {
                    throw new \UnexpectedValueException('a value cannot be written as JSON: ' . json_last_error_msg());
                }
                return $bytes;
        }
        return serialize($value);
    }

    private static function unserialize($serializer, $bytes)
    {
        if ($serializer === 'json') {
            $value = json_decode($bytes, true);
            if ($value === null && json_last_error() !== JSON_ERROR_NONE) {
                throw new \UnexpectedValueException('a cached value is no JSON: ' . json_last_error_msg());
            }
            return $value;
        }
        return $serializer === 'igbinary' ? igbinary_unserialize($bytes) : unserialize($bytes);
    }

    /** PHP reports by notices what it cannot decode, and makes an incomplete object where it does not know a class. */
    private static function withoutNotices(callable $decoding)
    {
        $previous = set_error_handler(function (...$error) use (&$previous) {
            if (preg_match('/^(unserialize|igbinary_|gzuncompress|zstd_)/', $error[1])) {
                throw new \UnexpectedValueException('a cached value cannot be decoded: '
                    . preg_replace('/^\w+\(\): /', '', $error[1]));
            }
            return $previous === null ? false : call_user_func_array($previous, $error);
        });
        $callback = ini_set('unserialize_callback_func', self::class . '::refuseClass');
        try {
            return $decoding();
        } catch (\Error $error) {
            // Classes whose __wakeup() does not understand an older version of themselves.
            throw new \UnexpectedValueException('a cached value cannot be decoded: ' . get_class($error));
        } finally {
            ini_set('unserialize_callback_func', (string) $callback);
            restore_error_handler();
        }
    }

    /** Called by unserialize(). */
    public static function refuseClass($class)
    {
        throw new \UnexpectedValueException('a cached value is of a class that is not there: ' . $class);
    }
}
