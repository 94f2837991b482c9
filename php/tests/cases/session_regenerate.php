<?php

/*
 * session_regenerate_id() in a page, while another page of the same visitor destroys or changes the session.
 */

require __DIR__ . '/../support/assert.php';
require __DIR__ . '/../support/mock.php';
require __DIR__ . '/../support/session.php';

use Sharedance\Client;

/** The result of session_regenerate_id(), the warnings, and the final id of the page. */
function regenerate_while(array $settings, $isDeleting, callable $meanwhile)
{
    $settings = server_settings($settings);
    $id = fresh_id();
    session_request($settings, $id, 'count_in_session');
    $found = session_request($settings, $id, function () use ($id, $isDeleting, $meanwhile) {
        same(true, session_start());
        $meanwhile(new Client(server_settings(['persistent' => false])), 'sess-' . $id);
        $isDone = null;
        $warnings = warnings(function () use (&$isDone, $isDeleting) {
            $isDone = session_regenerate_id($isDeleting);
        });
        return ['done' => $isDone, 'warnings' => $warnings, 'new' => 'sess-' . session_id()];
    });
    return $found + ['old' => 'sess-' . $id];
}

foreach ([['locking' => true], ['locking' => false]] as $settings) {
    $how = $settings['locking'] ? 'with a lock that expired' : 'without locking';
    foreach ([true, false] as $isDeleting) {
        test("a session that was destroyed meanwhile gets no new id, $how, deleting " . (int) $isDeleting, function () use (
            $settings,
            $isDeleting
        ) {
            $found = regenerate_while($settings, $isDeleting, function ($other, $key) {
                same(true, $other->delete($key));
            });
            $client = new Client(server_settings());
            same(null, $client->get($found['old']), 'the old session');
            same(null, $found['new'] === $found['old'] ? null : $client->get($found['new']), 'the new session');
            holds(strpos(implode(' ', $found['warnings']), 'it was destroyed') !== false, shown($found['warnings']));
        });
    }

    test("a session that no other page touches gets a new id, $how", function () use ($settings) {
        $found = regenerate_while($settings, true, function () {
        });
        same([], $found['warnings']);
        same(true, $found['done']);
        $client = new Client(server_settings());
        same(null, $client->get($found['old']));
        holds($client->get($found['new']) !== null, 'the new session is not there');
    });
}

test('a change of a page that got the lock is not deleted with the old id', function () {
    $found = regenerate_while(['locking' => true], true, function ($other, $key) {
        $other->set($key, 'changed');
    });
    $client = new Client(server_settings());
    same('changed', $client->get($found['old']));
    same(false, $found['done']);
    same(1, count($found['warnings']), shown($found['warnings']));
});

over();
