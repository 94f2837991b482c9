<?php

namespace Sharedance\Session;

use Sharedance\Exception\Refused;
use Sharedance\Options;
use Sharedance\Server;
use Sharedance\Wire\ClassicRequests;

/**
 * Sessions in the classic dialect, for servers of the first generation: no locks, no versions, and the server's
 * --expiration for all. There is no request that only prolongs, so an unchanged session is stored again, if the server
 * still has the same one; between the look and the store another page can come.
 */
final class ClassicSessions implements SessionStore
{
    private $requests;
    private $isSealed;

    public function __construct(Options $options, ClassicRequests $requests)
    {
        $this->requests = $requests;
        // Without a prefix, sessions are shared with the library of the first Sharedance, which knows no envelope.
        $this->isSealed = $options->prefix() !== '';
    }

    public function load(Server $server, SessionKey $key, $isNew)
    {
        $bytes = $this->requests->fetch($server, $key->key());
        if ($bytes === '' && !$isNew) {
            // A server that dies before it responds looks like one that has no such pair. The second case is assumed.
            $bytes = $this->requests->fetch($server, $key->key());
        }
        return new LoadedSession($key, $bytes === '' ? null : Envelope::open($bytes));
    }

    public function write(
        Server $server,
        LoadedSession $session,
        #[\SensitiveParameter]
        $data
    ) {
        $this->overwrite($server, $session->key, $data);
        $session->data = $data;
    }

    public function overwrite(
        Server $server,
        SessionKey $key,
        #[\SensitiveParameter]
        $data
    ) {
        $this->requests->store($server, $key->key(), $this->isSealed ? Envelope::seal($data) : $data);
    }

    public function prolong(Server $server, LoadedSession $session)
    {
        $bytes = $this->requests->fetch($server, $session->key->key());
        if ($bytes !== '' && Envelope::open($bytes) === $session->data) {
            $this->requests->store($server, $session->key->key(), $bytes);
        }
        return $bytes !== '';
    }

    /** A session that another page destroyed cannot be told from one that this request has deleted. */
    public function destroyMoved(Server $server, LoadedSession $session)
    {
        $this->destroy($server, $session);
    }

    public function destroy(Server $server, LoadedSession $session)
    {
        $key = $session->key->key();
        // Not deleted means that nothing is there, or that the server went away before it responded.
        if (
            !$this->requests->delete($server, $key) && $this->requests->fetch($server, $key) !== ''
            && !$this->requests->delete($server, $key)
        ) {
            throw new Refused('the server does not delete it');
        }
    }

    public function release(Server $server, LoadedSession $session)
    {
    }
}
