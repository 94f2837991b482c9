<?php

namespace Sharedance\Session;

use Sharedance\Exception\SharedanceException;
use Sharedance\Server;

/**
 * Where sessions are, in one dialect: what SessionHandler asks for.
 */
interface SessionStore
{
    /**
     * Waits for the lock of the session, where sessions are locked, and reads it.
     *
     * @param Server $server
     * @param SessionKey $key
     * @param bool $isNew whether its id was made in this request, so that no other page can have stored it
     * @return LoadedSession
     * @throws SharedanceException
     */
    public function load(Server $server, SessionKey $key, $isNew);

    /**
     * Stores the data unless the session was changed or destroyed since load(), and releases the lock.
     *
     * @param Server $server
     * @param LoadedSession $session
     * @param string $data
     * @throws SharedanceException
     */
    public function write(
        Server $server,
        LoadedSession $session,
        #[\SensitiveParameter]
        $data
    );

    /**
     * Stores the data whatever is there, for a session that was not loaded.
     *
     * @param Server $server
     * @param SessionKey $key
     * @param string $data
     * @throws SharedanceException
     */
    public function overwrite(
        Server $server,
        SessionKey $key,
        #[\SensitiveParameter]
        $data
    );

    /**
     * Lets the session live for its TTL from now on, if it is still there, and releases the lock.
     *
     * @param Server $server
     * @param LoadedSession $session
     * @return bool false where it no longer exists
     * @throws SharedanceException
     */
    public function prolong(Server $server, LoadedSession $session);

    /**
     * Deletes the session, and releases the lock.
     *
     * @param Server $server
     * @param LoadedSession $session
     * @throws SharedanceException
     */
    public function destroy(Server $server, LoadedSession $session);

    /**
     * Deletes the session, whose data move to another id, and releases the lock. Fails where another page destroyed
     * the session since load(): a logout holds for its new id too.
     *
     * @param Server $server
     * @param LoadedSession $session
     * @throws SharedanceException
     */
    public function destroyMoved(Server $server, LoadedSession $session);

    /**
     * Releases the lock; never fails.
     *
     * @param Server $server
     * @param LoadedSession $session
     */
    public function release(Server $server, LoadedSession $session);
}
