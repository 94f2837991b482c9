<?php

/*
 * Loads the classes of Sharedance without Composer.
 */

spl_autoload_register(function ($class) {
    if (strncmp($class, 'Sharedance\\', 11) === 0) {
        $file = __DIR__ . '/src/' . str_replace('\\', '/', substr($class, 11)) . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});
