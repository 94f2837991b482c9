<?php

/*
 * User and password, as memcached accepts them in its text dialect (memcached -Y).
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

use Sharedance\Client;
use Sharedance\Exception\Refused;

$memcached = IS_WASM || !function_exists('proc_open') ? '' : trim((string) shell_exec('command -v memcached'));
if ($memcached === '') {
    skip('credentials', 'needs a native PHP and memcached');
    over();
    return;
}

$accounts = tempnam(sys_get_temp_dir(), 'accounts');
file_put_contents($accounts, "web:right\n");
chmod($accounts, 0644);
$free = stream_socket_server('tcp://127.0.0.1:0');
$port = (int) substr(strrchr(stream_socket_get_name($free, false), ':'), 1);
fclose($free);
$command = 'exec ' . $memcached . ' -u "nobody" -l 127.0.0.1 -p ' . $port . ' -U 0 -t 1 -Y '
    . escapeshellarg($accounts);
$process = proc_open($command, [], $pipes);

function with($port, array $more)
{
    new_request();
    return new Client(server_settings($more + ['port' => $port, 'protocol' => 'memcached', 'persistent' => false]));
}

test('memcached starts', function () use ($port) {
    holds(eventually(function () use ($port) {
        set_error_handler(function () {
            return true;
        });
        $stream = stream_socket_client('tcp://127.0.0.1:' . $port);
        restore_error_handler();
        return $stream !== false;
    }), 'it does not');
});

test('the right password', function () use ($port) {
    $client = with($port, ['user' => 'web', 'password' => 'right']);
    same(true, $client->set('cred-a', 'v'));
    same('v', $client->get('cred-a'));
});

test('a wrong password, and no password', function () use ($port) {
    $failure = throws(Refused::class, function () use ($port) {
        with($port, ['user' => 'web', 'password' => 'wrong'])->get('cred-a');
    });
    holds(strpos($failure->getMessage(), 'does not accept the user and password') !== false, $failure->getMessage());
    holds(strpos((string) $failure, 'wrong') === false, 'the password is in the exception');
    throws(Refused::class, function () use ($port) {
        with($port, [])->get('cred-a');
    });
});

proc_terminate($process);
over();
