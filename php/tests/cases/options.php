<?php

require __DIR__ . '/../support/assert.php';

use Sharedance\Exception\InvalidOption;
use Sharedance\Options;
use Sharedance\Server;

function addresses(Options $options)
{
    return array_map(function ($server) {
        return $server->address();
    }, $options->servers());
}

// Constants last for the process: what comes before them is tested before them.
test('the defaults are those of the documentation', function () {
    $options = new Options();
    same(['tcp://localhost:1042'], addresses($options));
    same('sess-', $options->prefix());
    same(1.0, $options->connectTimeoutSecs());
    same(5.0, $options->timeoutSecs());
    same(32 * 1024 * 1024, $options->maxSize());
});

test('the environment is honoured', function () {
    putenv('SHAREDANCE_HOST=env.example');
    putenv('SHAREDANCE_PORT=7000');
    putenv('SHAREDANCE_TIMEOUT=2.5');
    putenv('SHAREDANCE_CONNECT_TIMEOUT=');
    putenv('SHAREDANCE_MAX_SIZE=100');
    $options = new Options();
    same(['tcp://env.example:7000'], addresses($options));
    same(2.5, $options->timeoutSecs());
    same(1.0, $options->connectTimeoutSecs(), 'an empty variable');
    same(100, $options->maxSize());
});

test('an empty prefix in the environment is a prefix', function () {
    putenv('SHAREDANCE_PREFIX=');
    same('', (new Options())->prefix());
    putenv('SHAREDANCE_PREFIX');
});

test('several servers win over one in the same place', function () {
    putenv('SHAREDANCE_SERVERS=one, two:99,  unix:///run/x.sock');
    same(['tcp://one:7000', 'tcp://two:99', 'unix:///run/x.sock'], addresses(new Options()));
});

test('the constructor wins', function () {
    $options = new Options(['host' => 'ctor', 'prefix' => 'p-', 'timeout' => '0.25', 'max_size' => 64]);
    same(['tcp://ctor:7000'], addresses($options));
    same('p-', $options->prefix());
    same(0.25, $options->timeoutSecs());
    same(64, $options->maxSize());
    same(['tcp://a:1', 'tcp://b:7000'], addresses(new Options(['servers' => ['a:1', 'b', 'a:1']])), 'a list');
});

test('constants win over the environment, SESSION_HANDLER_HOST among them', function () {
    define('SESSION_HANDLER_HOST', 'old.example');
    define('SHAREDANCE_TIMEOUT', 7);
    same(['tcp://old.example:7000'], addresses(new Options()));
    same(7.0, (new Options())->timeoutSecs());
    define('SHAREDANCE_HOST', 'new.example');
    same(['tcp://new.example:7000'], addresses(new Options()));
});

test('servers are written in several ways', function () {
    $ways = [
        'web-1' => 'tcp://web-1:1042',
        'web-1:9' => 'tcp://web-1:9',
        'tcp://web-1:9' => 'tcp://web-1:9',
        'tls://web-1' => 'tls://web-1:1042',
        'tls://web-1:9' => 'tls://web-1:9',
        '192.0.2.1' => 'tcp://192.0.2.1:1042',
        '::1' => 'tcp://[::1]:1042',
        '2001:db8::1:2' => 'tcp://[2001:db8::1:2]:1042',
        '[::1]' => 'tcp://[::1]:1042',
        '[::1]:9' => 'tcp://[::1]:9',
        'tls://[fe80::1%eth0]:9' => 'tls://[fe80::1%eth0]:9',
        'unix:///run/a b.sock' => 'unix:///run/a b.sock',
    ];
    foreach ($ways as $spec => $address) {
        same($address, Server::parse($spec, 1042)->address(), $spec);
    }
    same('web-1:1042', Server::parse('web-1', 1042)->name());
    same('tls://web-1:1042', Server::parse('tls://web-1', 1042)->name());
});

test('what cannot be is refused', function () {
    $bad = [
        ['host' => ''], ['host' => 'a b'], ['host' => 'a:'], ['host' => 'a:x'], ['host' => 'a:0'], ['host' => 'a:65536'],
        ['host' => 'http://a'], ['host' => 'unix://relative'], ['host' => 'unix:///'], ['host' => "a\n"],
        ['servers' => ' , '], ['servers' => []], ['port' => 0], ['port' => '1042x'], ['port' => 65536], ['port' => -1],
        ['timeout' => 0], ['timeout' => 'soon'], ['timeout' => -1], ['timeout' => 1e9], ['connect_timeout' => '0'],
        ['max_size' => 9], ['max_size' => '32X'], ['max_size' => '4G'], ['max_size' => '99999999999999999999'],
        ['prefix' => "a\0"], ['prefix' => str_repeat('p', 201)],
        ['prefix' => 'a b'], ['hots' => 'a'], ['host' => ['a']],
        ['persistent' => 'maybe'], ['locking' => []], ['lock_wait' => -1], ['lock_wait' => '1 week'], ['lock_ttl' => 0],
        ['lock_failure' => 'ignore'], ['ttl' => 0], ['ttl' => '-5'], ['protocol' => 'http'], ['user' => "a\nb"],
        ['password' => 'x'], ['tls_ca' => '/nonexistent'], ['tls_key' => __FILE__],
    ];
    foreach ($bad as $settings) {
        throws(InvalidOption::class, function () use ($settings) {
            new Options($settings);
        });
    }
});

over();
