<?php

/*
 * Sharedance\Psr16Cache with Debian's psr/simple-cache, under Symfony's adapter to PSR-6.
 */

require_once 'Psr/SimpleCache/autoload.php';
require_once 'Symfony/Component/Cache/autoload.php';
require __DIR__ . '/../support/assert.php';

use Sharedance\Psr16Cache;
use Symfony\Component\Cache\Adapter\Psr16Adapter;
use Symfony\Component\Cache\Psr16Cache as SymfonyPsr16Cache;

function adapter($namespace = '')
{
    $settings = ['host' => '127.0.0.1', 'port' => setting('SERVER_PORT')];
    return new Psr16Adapter(new Psr16Cache($settings, ['prefix' => 'symfony-']), $namespace);
}

test('items are saved, found by another pool, deferred, and deleted', function () {
    $pool = adapter();
    $item = $pool->getItem('a.key');
    same(false, $item->isHit());
    same(true, $pool->save($item->set(['value' => new ArrayObject([1])])));
    $found = adapter()->getItem('a.key');
    same(true, $found->isHit());
    same([1], $found->get()['value']->getArrayCopy());
    for ($i = 0; $i < 5; $i++) {
        $pool->saveDeferred($pool->getItem("deferred-$i")->set($i));
    }
    same(true, $pool->commit());
    same([0, 1, 2, 3, 4], array_values(array_map(function ($item) {
        return $item->get();
    }, iterator_to_array(adapter()->getItems(['deferred-0', 'deferred-1', 'deferred-2', 'deferred-3', 'deferred-4'])))));
    same(true, $pool->deleteItems(['deferred-0', 'deferred-1']));
    same(false, $pool->hasItem('deferred-0'));
    same(true, $pool->hasItem('deferred-2'));
    same(true, $pool->deleteItem('a.key'));
    same(false, adapter()->hasItem('a.key'));
});

test('items expire', function () {
    $pool = adapter();
    $pool->save($pool->getItem('short')->set(1)->expiresAfter(1));
    $pool->save($pool->getItem('long')->set(1)->expiresAfter(1000));
    holds(eventually(function () {
        return !adapter()->hasItem('short');
    }), 'it does not');
    same(true, adapter()->hasItem('long'));
});

test('get() computes a value once', function () {
    $computed = 0;
    for ($i = 0; $i < 3; $i++) {
        same('value', adapter()->get('computed', function () use (&$computed) {
            $computed++;
            return 'value';
        }));
    }
    same(1, $computed);
});

test('clear() empties one pool, its namespaces too', function () {
    adapter('space')->save(adapter('space')->getItem('key')->set(1));
    same(true, adapter('space')->hasItem('key'));
    same(false, adapter('other')->hasItem('key'));
    same(true, adapter('space')->clear());
    same(false, adapter('space')->hasItem('key'));
});

over();
