<?php

/*
 * session.upload_progress, which opens a session with the handler of php.ini before any script runs.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';

if (IS_WASM || !function_exists('proc_open')) {
    skip('upload progress', 'needs a native PHP');
    over();
    return;
}
require __DIR__ . '/../support/builtin.php';

function upload(Builtin $server, $cookie)
{
    $body = "--b\r\nContent-Disposition: form-data; name=\"PHP_SESSION_UPLOAD_PROGRESS\"\r\n\r\nx\r\n"
        . "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\ncontent\r\n--b--\r\n";
    return $server->answer($server->ask('page.php', $cookie, $body, 'multipart/form-data; boundary=b'));
}

test('an upload keeps the session, or the page reports the setting to change and continues', function () {
    relay('pass');
    foreach (['0', '1'] as $isStrict) {
        $server = new Builtin([], [
            'session.upload_progress.enabled' => '1',
            'session.use_strict_mode' => $isStrict,
            'session.save_path' => sys_get_temp_dir(),
            'display_errors' => '0',
            'output_buffering' => '65536',
        ]);
        $answer = $server->answer($server->ask('page.php'));
        holds(preg_match('~^HTTP/1\.\d 200 ~', $answer), 'a page without an upload: ' . substr($answer, 0, 200));
        same(1, preg_match('/Set-Cookie: PHPSESSID=([^;]+)/', $answer, $found), 'cookie');
        $answer = upload($server, $found[1]);
        holds(preg_match('~^HTTP/1\.\d 200 ~', $answer), 'an upload: ' . substr($answer, 0, 200));
        if ($server->logged() === '') {
            same('2', substr($answer, -1), "strict mode $isStrict: the upload has the session");
            holds(strpos($answer, 'Set-Cookie') === false, 'the cookie is replaced');
            same('3', $server->get('page.php', $found[1]));
        } else {
            // This PHP accepts no handler while the setting is on.
            holds(strpos($server->logged(), 'session.upload_progress.enabled is on: turn it off') !== false, $server->logged());
        }
        $server->stop();
    }
});

over();
