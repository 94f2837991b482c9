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

// A constant cannot be changed within the process, so the cases with lower precedence are tested first.
test('the defaults match the documentation', function () {
    $options = new Options();
    same(['tcp://localhost:1042'], addresses($options));
    same('sess-', $options->prefix());
    same(1.0, $options->connectTimeoutSecs());
    same(5.0, $options->timeoutSecs());
    same(32 * 1024 * 1024, $options->maxSize());
});

test('environment variables are used', function () {
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

test('the value that Kubernetes sets for a service of that name is accepted', function () {
    putenv('SHAREDANCE_HOST');
    putenv('SHAREDANCE_PORT=tcp://10.0.0.1:7001');
    same(['tcp://10.0.0.1:7001'], addresses(new Options()));
    same(['tcp://mine:1042'], addresses(new Options(['host' => 'mine'])), 'the port is that of the service alone');
    putenv('SHAREDANCE_HOST=env.example');
    same(['tcp://env.example:1042'], addresses(new Options()));
    putenv('SHAREDANCE_PORT=udp://10.0.0.1:7001');
    same(['tcp://env.example:1042'], addresses(new Options()));
    putenv('SHAREDANCE_PORT=7000');
});

test('an empty prefix in the environment is a prefix', function () {
    putenv('SHAREDANCE_PREFIX=');
    same('', (new Options())->prefix());
    putenv('SHAREDANCE_PREFIX');
});

test('a list of servers takes precedence over a single one from the same source', function () {
    putenv('SHAREDANCE_SERVERS=one, two:99,  unix:///run/x.sock');
    same(['tcp://one:7000', 'tcp://two:99', 'unix:///run/x.sock'], addresses(new Options()));
});

test('the constructor takes precedence', function () {
    $options = new Options(['host' => 'ctor', 'prefix' => 'p-', 'timeout' => '0.25', 'max_size' => 64]);
    same(['tcp://ctor:7000'], addresses($options));
    same('p-', $options->prefix());
    same(0.25, $options->timeoutSecs());
    same(64, $options->maxSize());
    same(['tcp://a:1', 'tcp://b:7000'], addresses(new Options(['servers' => ['a:1', 'b', 'a:1']])), 'a list');
});

test('constants take precedence over the environment, including SESSION_HANDLER_HOST', function () {
    define('SESSION_HANDLER_HOST', 'old.example');
    define('SHAREDANCE_TIMEOUT', 7);
    same(['tcp://old.example:7000'], addresses(new Options()));
    same(7.0, (new Options())->timeoutSecs());
    define('SHAREDANCE_HOST', 'new.example');
    same(['tcp://new.example:7000'], addresses(new Options()));
});

test('all forms of server addresses', function () {
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

test('times and sizes accept units, flags accept several words', function () {
    foreach (['5' => 5.0, '0.5' => 0.5, '5s' => 5.0, '500ms' => 0.5, '2m' => 120.0, '1 h' => 3600.0] as $text => $secs) {
        same($secs, (new Options(['timeout' => (string) $text]))->timeoutSecs(), (string) $text);
    }
    foreach (['1000' => 1000, '512k' => 524288, '32M' => 33554432, '32MB' => 33554432, '1GiB' => 1073741824] as $text => $len) {
        same($len, (new Options(['max_size' => (string) $text]))->maxSize(), (string) $text);
    }
    foreach (['on' => true, 'Yes' => true, '1' => true, 'off' => false, 'no' => false, '0' => false] as $text => $flag) {
        same($flag, (new Options(['locking' => (string) $text]))->isLocking(), (string) $text);
        same($flag, (new Options(['persistent' => $flag]))->isPersistent());
    }
    same(86400, (new Options(['ttl' => '1d']))->ttlSecs());
    same(90, (new Options(['lock_ttl' => 90]))->lockTtlSecs());
    same(0.0, (new Options(['lock_wait' => 0]))->lockWaitSecs());
    same(Options::READ_ONLY, (new Options(['lock_failure' => 'read-only']))->lockFailure());
    same(Options::CLASSIC, (new Options(['protocol' => 'Classic']))->protocol());
});

test('settings that are not set have the documented defaults', function () {
    $options = new Options();
    same([true, true, 30.0, null, Options::FAIL, null, Options::AUTO, null], [
        $options->isPersistent(), $options->isLocking(), $options->lockWaitSecs(), $options->lockTtlSecs(),
        $options->lockFailure(), $options->ttlSecs(), $options->protocol(), $options->user(),
    ]);
});

test('TLS and credentials', function () {
    $options = new Options(['user' => 'web', 'password' => 'secret', 'tls_ca' => __FILE__, 'tls_peer_name' => 'cache']);
    same(['web', 'secret'], [$options->user(), $options->password()]);
    same(['cafile' => __FILE__, 'peer_name' => 'cache'], $options->tlsContext());
    holds(strpos(print_r($options, true), 'secret') === false, 'the password is in a dump');
    $failure = throws(InvalidOption::class, function () {
        new Options(['user' => 'web', 'password' => "secret\n"]);
    });
    holds(strpos((string) $failure, 'secret') === false, 'the password is in the exception');
});

test('an invalid setting is reported with its constant and the valid values', function () {
    $message = throws(InvalidOption::class, function () {
        new Options(['timeout' => '5 parsecs']);
    })->getMessage();
    same(true, strpos($message, 'Setting timeout (SHAREDANCE_TIMEOUT): "5 parsecs" is not a duration') === 0, $message);
});

test('invalid settings are refused', function () {
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
