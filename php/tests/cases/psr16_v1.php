<?php

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/psr/1.php';
require __DIR__ . '/../support/psr16.php';

psr16_test_all();
over();
