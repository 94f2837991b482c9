<?php

/*
 * Every file of the library loads on this PHP without any output.
 */

require __DIR__ . '/../support/assert.php';
// Composer provides the interface that Sharedance\Psr16Cache implements.
require __DIR__ . '/../support/psr/1.php';

foreach (array_merge(glob(__DIR__ . '/../../src/*.php'), glob(__DIR__ . '/../../src/*/*.php')) as $path) {
    $name = 'Sharedance\\' . str_replace('/', '\\', preg_replace('~^.*/src/(.*)\.php$~', '$1', $path));
    test($name, function () use ($name) {
        holds(class_exists($name) || interface_exists($name) || trait_exists($name), 'not loaded by its name');
    });
}

test('every exception is a SharedanceException', function () {
    foreach (glob(__DIR__ . '/../../src/Exception/*.php') as $path) {
        $name = 'Sharedance\\Exception\\' . basename($path, '.php');
        if (class_exists($name)) {
            $thrown = new $name('why');
            holds($thrown instanceof Sharedance\Exception\SharedanceException, $name);
            same('why', $thrown->getMessage());
        }
    }
});

over();
