<?php

require __DIR__ . '/../support/assert.php';

if (PHP_VERSION_ID < 80000) {
    skip('psr/simple-cache 2', 'it needs PHP 8');
} else {
    require __DIR__ . '/../support/psr/2.php';
    require __DIR__ . '/../support/psr16.php';
    psr16_test_all();
}

over();
