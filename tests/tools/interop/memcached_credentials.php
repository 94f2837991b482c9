<?php
/**
 * Tests PHP's memcached extension with credentials, by SASL. The server has the users web:password and
 * app1:password:prefix=app1-.
 *
 *     php memcached_credentials.php PORT
 */

declare(strict_types=1);

[, $port] = $argv;

function connect(?string $user, string $password): Memcached
{
    global $port;
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
    $client->setOption(Memcached::OPT_POLL_TIMEOUT, 30000);
    $client->setOption(Memcached::OPT_RECV_TIMEOUT, 30000000);
    if ($user !== null) {
        $client->setSaslAuthData($user, $password);
    }
    $client->addServer('127.0.0.1', (int) $port);
    return $client;
}

function expect(bool $holds, string $what, Memcached $client): void
{
    if (!$holds) {
        fwrite(STDERR, "$what: {$client->getResultMessage()} ({$client->getResultCode()})\n");
        exit(1);
    }
}

$client = connect('web', 'password');
expect($client->set('key', ['a' => 1]), 'set', $client);
expect($client->get('key') === ['a' => 1], 'get', $client);

$client = connect('app1', 'password');
expect($client->set('app1-key', 'value'), 'set with the prefix', $client);
expect(!$client->set('key', 'changed'), 'set without the prefix', $client);
expect($client->get('app1-key') === 'value', 'get after a refusal', $client);
// The extension reports it as a miss.
expect($client->get('key') === false, 'get without the prefix', $client);
expect($client->get('app1-key') === 'value', 'get after that', $client);

foreach ([['web', 'wrong'], ['other', 'password'], [null, '']] as [$user, $password]) {
    $client = connect($user, $password);
    expect(!$client->set('key', 'changed'), 'wrong credentials', $client);
}
$client = connect('web', 'password');
expect($client->get('key') === ['a' => 1], 'the value is unchanged', $client);

echo "right, wrong and missing credentials, and keys without the prefix\n";
