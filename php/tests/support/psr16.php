<?php

/*
 * The requirements of PSR-16, for every version of its interface. psr16_test_all() runs the tests.
 */

use Psr\SimpleCache\InvalidArgumentException;
use Sharedance\Cache\Encoding;
use Sharedance\Client;
use Sharedance\Exception\InvalidOption;
use Sharedance\Psr16Cache;

final class Counted
{
    public $n = 1;
    public $self;
}

function cache(array $options = [])
{
    return new Psr16Cache(
        ['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')],
        $options + ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-']
    );
}

function generated(array $pairs)
{
    foreach ($pairs as $key => $value) {
        yield $key => $value;
    }
}

function refused(callable $call, $what)
{
    throws(InvalidArgumentException::class, $call);
}

/** Values that are not valid keys; an integer is valid only as a key of an array. */
function wrong_keys()
{
    $wrong = ['', true, false, null, 2.5, new stdClass(), ['array']];
    foreach (str_split('{}()/\\@:') as $reserved) {
        $wrong[] = "rand{$reserved}str";
        $wrong[] = $reserved;
    }
    return $wrong;
}

function psr16_test_all()
{
    psr16_test_values();
    psr16_test_several();
    psr16_test_arguments();
    psr16_test_clear();
    psr16_test_encodings();
}

function psr16_test_values()
{
    test('a stored value is found, in this cache and in the next', function () {
        $cache = cache(['prefix' => 'psr-shared-']);
        same(true, $cache->set('key', 'value'));
        same('value', $cache->get('key'));
        same('value', cache(['prefix' => 'psr-shared-'])->get('key', 'default'));
        same(true, $cache->has('key'));
        same(true, $cache->delete('key'));
        same(false, $cache->has('key'));
        same(null, $cache->get('key'));
        same('default', $cache->get('key', 'default'));
        same(true, $cache->delete('key'), 'deleting what is not there');
    });

    test('a value of each type is returned unchanged', function () {
        $bytes = implode('', array_map('chr', range(0, 255)));
        $cache = cache();
        foreach ([null, true, false, 0, -1, PHP_INT_MAX, 1.5, 1.0, '', '0', 'text', $bytes, [], ['a' => [1, '2']]] as $value) {
            $cache->set('key', $value);
            same($value, $cache->get('key', 'default'));
            same(true, $cache->has('key'));
        }
        $object = new Counted();
        $object->self = $object;
        $cache->set('key', $object);
        $object->n = 2;
        $found = $cache->get('key');
        same(1, $found->n, 'a change after set()');
        same($found, $found->self);
    });

    test('keys of PSR-16, longer ones, and other bytes', function () {
        $keys = ['a', 'A-Za-z0-9_.', '0', '00', '-1', '.', str_repeat('a', 64), str_repeat('b', 300), str_repeat('b', 301),
            "with space\tand\r\nlines", "\u{e4}\u{20ac}\0", 'generation', '#$%&*+,;<=>?[]^|~"\''];
        $cache = cache();
        foreach ($keys as $i => $key) {
            same(true, $cache->set($key, $i));
        }
        foreach ($keys as $i => $key) {
            same($i, $cache->get($key));
            same(true, $cache->has($key));
        }
        same(array_combine($keys, array_keys($keys)), $cache->getMultiple($keys));
        same(true, $cache->deleteMultiple($keys));
        same(array_fill_keys($keys, null), $cache->getMultiple($keys));
    });

    test('a TTL is null, seconds or a DateInterval, and an expired value is missing', function () {
        $cache = cache();
        $day = new DateInterval('P1D');
        foreach ([null, 100, 40 * 86400, $day, new DateInterval('P2M')] as $ttl) {
            same(true, $cache->set('key', 'value', $ttl));
            same('value', $cache->get('key'));
            same(true, $cache->setMultiple(['one' => 1, 'two' => 2], $ttl));
            same(['one' => 1, 'two' => 2], $cache->getMultiple(['one', 'two']));
        }
        $past = new DateInterval('P1D');
        $past->invert = 1;
        foreach ([0, -1, new DateInterval('PT0S'), $past] as $ttl) {
            $cache->setMultiple(['key' => 1, 'one' => 1, 'two' => 2]);
            same(true, $cache->set('key', 'value', $ttl));
            same(false, $cache->has('key'));
            same(true, $cache->setMultiple(['one' => 1, 'two' => 2], $ttl));
            same(['one' => null, 'two' => null], $cache->getMultiple(['one', 'two']));
        }
        $short = cache(['default_ttl' => 1]);
        $short->set('default', 1);
        $cache->set('named', 1, 1);
        $cache->set('interval', 1, new DateInterval('PT1S'));
        $cache->set('long', 1, 1000);
        holds(eventually(function () use ($short) {
            return !$short->has('default');
        }), 'the default TTL has no effect');
        holds(eventually(function () use ($cache) {
            return !$cache->has('named') && !$cache->has('interval');
        }), 'a TTL has no effect');
        same(true, $cache->has('long'));
    });
}

function psr16_test_several()
{
    test('getMultiple returns all keys in their order, with the default for those that are missing', function () {
        $cache = cache();
        $cache->setMultiple(['b' => 2, 'd' => null]);
        same(['a' => 'no', 'b' => 2, 'c' => 'no', 'd' => null], $cache->getMultiple(['a', 'b', 'c', 'd'], 'no'));
        same(['b' => 2, 'a' => null], $cache->getMultiple(generated(['b', 'a'])));
        same(['b' => 2], $cache->getMultiple(new ArrayIterator(['b', 'b'])));
        same([], $cache->getMultiple([]));
    });

    test('setMultiple and deleteMultiple take arrays, generators and integer keys of arrays', function () {
        $cache = cache();
        same(true, $cache->setMultiple(generated(['a' => 1, 'b' => 2])));
        same(true, $cache->setMultiple(['0' => 'zero', '17' => 'seventeen']));
        same('zero', $cache->get('0'));
        same(['0' => 'zero', '17' => 'seventeen', 'a' => 1], $cache->getMultiple(['0', '17', 'a']));
        same(true, $cache->deleteMultiple(generated(['a', '17', 'missing'])));
        same([false, true, true, false], array_map([$cache, 'has'], ['a', 'b', '0', '17']));
        same(true, $cache->deleteMultiple([]));
        same(true, $cache->setMultiple([]));
    });
}

function psr16_test_arguments()
{
    test('an invalid key is refused by every method', function () {
        $cache = cache();
        // If the interface declares string, PHP itself converts or refuses numbers; the cache receives only strings.
        foreach (array_merge(wrong_keys(), [2]) as $key) {
            $what = shown($key);
            refused(function () use ($cache, $key) {
                $cache->get($key);
            }, "get $what");
            refused(function () use ($cache, $key) {
                $cache->set($key, 1);
            }, "set $what");
            refused(function () use ($cache, $key) {
                $cache->has($key);
            }, "has $what");
            refused(function () use ($cache, $key) {
                $cache->delete($key);
            }, "delete $what");
            refused(function () use ($cache, $key) {
                $cache->getMultiple(['key1', $key, 'key2']);
            }, "getMultiple $what");
            refused(function () use ($cache, $key) {
                $cache->deleteMultiple(['key1', $key, 'key2']);
            }, "deleteMultiple $what");
        }
        foreach (wrong_keys() as $key) {
            refused(function () use ($cache, $key) {
                $pairs = function () use ($key) {
                    yield 'key1' => 1;
                    yield $key => 2;
                };
                $cache->setMultiple($pairs());
            }, 'setMultiple ' . shown($key));
        }
        same(false, $cache->has('key1'), 'part of a call that was refused');
    });

    test('invalid lists of keys and invalid TTLs are refused', function () {
        $cache = cache();
        foreach (['text', 5, null, true, new stdClass()] as $keys) {
            foreach (['getMultiple', 'setMultiple', 'deleteMultiple'] as $method) {
                refused(function () use ($cache, $method, $keys) {
                    $cache->$method($keys);
                }, $method);
            }
        }
        foreach (['', true, false, 'abc', 2.5, ' 1', '12foo', '025', '1', new stdClass(), ['array']] as $ttl) {
            refused(function () use ($cache, $ttl) {
                $cache->set('key', 'value', $ttl);
            }, 'set');
            refused(function () use ($cache, $ttl) {
                $cache->setMultiple(['key' => 'value'], $ttl);
            }, 'setMultiple');
        }
        same(false, $cache->has('key'));
    });

    test('the exception for an invalid key does not contain the key', function () {
        $thrown = throws(InvalidArgumentException::class, function () {
            cache()->get('sec{ret');
        });
        holds(strpos($thrown->getMessage(), 'sec') === false, $thrown->getMessage());
    });

    test('invalid options are refused', function () {
        foreach ([['serializer' => 'x'], ['compression' => 'x'], ['compress_above' => -1], ['prefix' => "a\n"], ['x' => 1],
            ['prefix' => str_repeat('p', 101)], ['default_ttl' => '5'], ['default_ttl' => -1], ['clear' => 'x'],
            ['on_failure' => 'no function'], ['prefix' => null]] as $options) {
            throws(InvalidOption::class, function () use ($options) {
                cache($options);
            });
        }
    });
}

function psr16_test_clear()
{
    test('clear deletes only the values with its prefix', function () {
        list($cache, $other) = [cache(), cache()];
        $client = new Client(['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')]);
        $client->set('sess-of-another', 'session');
        foreach ([$cache, $other] as $each) {
            $each->setMultiple(['a' => 1, 'b' => 2]);
        }
        same(true, $cache->clear());
        same(['a' => null, 'b' => null], $cache->getMultiple(['a', 'b']));
        same(false, $cache->has('a'));
        same(['a' => 1, 'b' => 2], $other->getMultiple(['a', 'b']));
        same('session', $client->get('sess-of-another'));
        same(true, $cache->set('a', 3));
        same(3, $cache->get('a'));
    });

    test('another process observes clear at once, and stores no value that it computed before as new', function () {
        $options = ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-'];
        list($one, $other) = [cache($options), cache($options)];
        $one->set('a', 1);
        same(1, $other->get('a'));
        $one->clear();
        same(null, $other->get('a'));
        $one->set('a', 2);
        same(2, $other->get('a'));
        $one->clear();
        // $other has not observed that clear() yet.
        $other->set('a', 'computed before');
        same(null, $one->get('a'));
    });

    test('a cache with dedicated servers can flush them, and then stores no generation', function () {
        $options = ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-', 'clear' => 'flush'];
        $cache = cache($options);
        same(true, $cache->set('a', [1]));
        same([1], cache($options)->get('a'));
        $client = new Client(['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')]);
        same(null, $client->get($options['prefix'] . Psr16Cache::GENERATION_KEY));
        same(true, $cache->clear());
        same(null, cache($options)->get('a'));
        same(null, $client->get($options['prefix'] . 'a'));
    });

    test('a cache that was never written is empty, and so is a cache whose generation was evicted', function () {
        $options = ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-'];
        same(null, cache($options)->get('a'));
        cache($options)->set('a', 1);
        $client = new Client(['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')]);
        same(true, $client->delete($options['prefix'] . Psr16Cache::GENERATION_KEY));
        same(null, cache($options)->get('a'));
        cache($options)->set('b', 2);
        same(['a' => null, 'b' => 2], cache($options)->getMultiple(['a', 'b']));
    });
}

function psr16_test_encodings()
{
    foreach (['php', 'igbinary', 'json'] as $serializer) {
        if ($serializer === 'igbinary' && !function_exists('igbinary_serialize')) {
            skip("serializer $serializer", 'the extension is not there');
            continue;
        }
        foreach ([null, 0, 1000] as $above) {
            if ($above !== null && !function_exists('gzcompress')) {
                skip("serializer $serializer, compressed", 'no zlib');
                continue;
            }
            test("serializer $serializer, compressed above " . var_export($above, true), function () use ($serializer, $above) {
                $cache = cache(['serializer' => $serializer, 'compress_above' => $above]);
                $values = [null, false, 1.0, '0', ['a' => ['b', 3]], str_repeat('long ', 5000)];
                foreach ($values as $value) {
                    same(true, $cache->set('key', $value));
                    same($value, $cache->get('key', 'default'));
                }
            });
        }
    }

    function_exists('gzcompress') && test('a compressed value is smaller, and is read without the option too', function () {
        $options = ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-'];
        $client = new Client(['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')]);
        cache($options + ['compress_above' => 1000])->set('key', str_repeat('long ', 5000));
        $len = strlen($client->get($options['prefix'] . 'key'));
        holds($len < 2500, "$len bytes");
        same(str_repeat('long ', 5000), cache($options)->get('key'));
    });

    test('a value that cannot be decoded is missing, and reported', function () {
        $failures = [];
        $options = ['prefix' => 'psr-' . bin2hex(random_bytes(4)) . '-'];
        $cache = cache($options + ['on_failure' => function ($failure) use (&$failures) {
            $failures[] = $failure;
        }]);
        $cache->set('key', new Counted());
        $client = new Client(['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')]);
        $whole = $client->get($options['prefix'] . 'key');
        $head = substr($whole, 0, Psr16Cache::GENERATION_LEN);
        $broken = [substr($whole, 0, -1), $head, $head . 'p', $head . 'x-N;', $head . 'pxN;', $head . 'j-{', $head . 'pz???',
            str_replace('Counted', 'Unknown', $whole)];
        foreach ($broken as $bytes) {
            $client->set($options['prefix'] . 'key', $bytes);
            same('default', $cache->get('key', 'default'), shown($bytes));
            same(false, $cache->has('key'), shown($bytes));
        }
        same(2 * count($broken), count($failures));
        $client->set($options['prefix'] . 'key', $whole);
        same(1, $cache->get('key')->n);
    });

    test('a value that cannot be serialized is not stored', function () {
        $failures = 0;
        $cache = cache(['on_failure' => function () use (&$failures) {
            $failures++;
        }]);
        same(false, $cache->set('key', function () {
        }));
        same(1, $failures);
        same(false, $cache->has('key'));
    });

    test('if the server is down, values are missing and writes return false, without an exception', function () {
        $failures = 0;
        $cache = new Psr16Cache(['host' => '127.0.0.1', 'port' => 1], ['on_failure' => function () use (&$failures) {
            $failures++;
        }]);
        same('default', $cache->get('key', 'default'));
        same(['key' => 'default'], $cache->getMultiple(['key'], 'default'));
        same([false, false, false, false, false, false], [$cache->has('key'), $cache->set('key', 1), $cache->delete('key'),
            $cache->clear(), $cache->setMultiple(['a' => 1]), $cache->deleteMultiple(['a'])]);
        same(8, $failures);
    });
}
