<?php
/**
 * Tests PHP's memcached extension against a server, in text or in binary.
 *
 *     php memcached_client.php PORT BINARY
 */

declare(strict_types=1);

[, $port, $binary] = $argv;
$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, (bool) $binary);
$client->setOption(Memcached::OPT_TCP_NODELAY, true);
$client->setOption(Memcached::OPT_POLL_TIMEOUT, 30000);
$client->setOption(Memcached::OPT_RECV_TIMEOUT, 30000000);
$client->addServer('127.0.0.1', (int) $port);
$prefix = "php{$binary}_";

function expect(bool $holds, string $what): void
{
    global $client;
    if (!$holds) {
        fwrite(STDERR, "$what: {$client->getResultMessage()} ({$client->getResultCode()})\n");
        exit(1);
    }
}

// Values of every type: the client flags contain the type.
$values = ['string' => 'value', 'int' => 42, 'float' => 1.5, 'bool' => true, 'false' => false, 'null' => null,
    'array' => ['a' => [1, 2, 3]], 'empty' => '', 'bytes' => random_bytes(1000), 'large' => str_repeat('x', 3000000)];
foreach ($values as $name => $value) {
    expect($client->set($prefix . $name, $value), "set $name");
    expect($client->get($prefix . $name) === $value, "get $name");
}
expect($client->get($prefix . 'missing') === false, 'a miss');
expect($client->getResultCode() === Memcached::RES_NOTFOUND, 'a miss is reported');

// Conditions.
expect(!$client->add($prefix . 'string', 'x'), 'add over a value');
$refused = $binary ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED;
expect($client->getResultCode() === $refused, 'it was not stored');
expect($client->add($prefix . 'added', 'x'), 'add');
expect($client->replace($prefix . 'added', 'y'), 'replace');
expect(!$client->replace($prefix . 'missing', 'y'), 'replace a missing key');
$got = $client->get($prefix . 'added', null, Memcached::GET_EXTENDED);
expect($got['value'] === 'y' && $got['cas'] > 0, 'get with version');
expect($client->cas($got['cas'], $prefix . 'added', 'z'), 'cas');
expect(!$client->cas($got['cas'], $prefix . 'added', 'z'), 'cas again');
expect($client->getResultCode() === Memcached::RES_DATA_EXISTS, 'a concurrent change is reported');
$client->setOption(Memcached::OPT_COMPRESSION, false);
expect($client->set($prefix . 'text', 'b') && $client->append($prefix . 'text', 'c')
    && $client->prepend($prefix . 'text', 'a'), 'append and prepend');
expect($client->get($prefix . 'text') === 'abc', 'the appended value');

// Numbers.
expect($client->set($prefix . 'number', 5) && $client->increment($prefix . 'number', 3) === 8, 'increment');
expect($client->decrement($prefix . 'number', 100) === 0, 'decrement stops at zero');
expect($client->increment($prefix . 'missing') === false, 'increment a missing key');
if ($binary) {
    expect($client->increment($prefix . 'created', 1, 7, 1000) === 7, 'increment creates');
    expect($client->increment($prefix . 'created', 1, 7, 1000) === 8, 'increment continues');
}

// Batches.
$many = [];
for ($i = 0; $i < 500; $i++) {
    $many["{$prefix}many_$i"] = str_repeat((string) $i, 20);
}
expect($client->setMulti($many), 'setMulti');
$got = $client->getMulti(array_merge(array_keys($many), [$prefix . 'missing']));
expect($got == $many, 'getMulti');
expect($client->getDelayed(array_keys($many), true) && count($client->fetchAll()) === 500, 'getDelayed');
expect(!in_array(false, array_map(fn ($done) => $done === true, $client->deleteMulti(array_keys($many))), true), 'deleteMulti');
expect($client->getMulti(array_keys($many)) === [], 'all are deleted');

// Lifetimes.
expect($client->touch($prefix . 'string', 1000), 'touch');
expect(!$client->touch($prefix . 'missing', 1000), 'touch a missing key');
expect($client->set($prefix . 'past', 'x', time() - 10) && $client->get($prefix . 'past') === false, 'a time that has passed');
expect($client->set($prefix . 'future', 'x', time() + 1000) && $client->get($prefix . 'future') === 'x', 'a time in the future');

// Without waiting for responses.
$client->setOption(Memcached::OPT_NO_BLOCK, true);
$client->setOption(Memcached::OPT_NOREPLY, true);
for ($i = 0; $i < 200; $i++) {
    $client->set("{$prefix}quiet_$i", (string) $i);
}
$client->setOption(Memcached::OPT_NOREPLY, false);
expect($client->get($prefix . 'quiet_199') === '199', 'a quiet set');

// Server commands.
$server = "127.0.0.1:$port";
expect($client->getVersion()[$server] === '1.6.45', 'version');
$stats = $client->getStats()[$server];
expect($stats['pid'] > 0 && $stats['cmd_get'] > 0 && $stats['threads'] > 0, 'stats');
expect($client->delete($prefix . 'string') && !$client->delete($prefix . 'string'), 'delete');
expect($client->flush() && $client->get($prefix . 'int') === false, 'flush');
echo "everything is as it is with memcached\n";
