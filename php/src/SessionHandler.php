<?php

namespace Sharedance;

use Sharedance\Exception\Conflict;
use Sharedance\Exception\InvalidOption;
use Sharedance\Session\ClassicSessions;
use Sharedance\Session\LoadedSession;
use Sharedance\Session\LockedSessions;
use Sharedance\Session\SessionKey;
use Sharedance\Session\SessionStore;
use Sharedance\Session\UploadProgress;
use Sharedance\Session\Warning;
use Sharedance\Wire\ClassicRequests;
use Sharedance\Wire\ConnectionPool;
use Sharedance\Wire\Dialect;

use function bin2hex;
use function count;
use function debug_backtrace;
use function function_exists;
use function is_string;
use function random_bytes;
use function session_create_id;
use function sprintf;

/**
 * Sessions of PHP, kept by Sharedance.
 *
 * It never throws; a failure is one warning and, from session_start(), false. It never takes a failure for an empty
 * session, and never writes a session that it could not read. Ids of sessions get into no message and no trace: each
 * method hides its parameter at once, since a trace shows what it holds by then.
 */
class SessionHandler implements
    \SessionHandlerInterface,
    \SessionIdInterface,
    \SessionUpdateTimestampHandlerInterface
{
    const HIDDEN = '(hidden)';

    private $settings;
    /** @var Options|null null until the first session */
    private $options;
    /** @var InvalidOption|null */
    private $fault;
    private $prefix = '';
    /** @var Server|null the server, where there is only one */
    private $server;
    /** @var ServerRing|null null where there is one server */
    private $ring;
    private $pool;
    /** Whether the settings demand the classic dialect. */
    private $isClassic = false;
    /** @var SessionStore[] by whether they are classic, made when they are needed */
    private $stores = [];
    /** @var SessionKey|null what keyOf() returned last: most pages have one session */
    private $key;
    /** @var LoadedSession|null the session of the page, from validateId() or read() on */
    private $session;
    private $loadedKey;
    /** The server of that session, and how it is spoken to: what placeOf() returned. */
    private $place;
    private $secs = 0.0;
    /** What kept validateId() or read() from loading it. */
    private $failure;
    /** Whether validateId() has loaded it for the read() that follows. */
    private $isLoadedAhead = false;
    /** Whether the page has neither stored nor destroyed it. */
    private $isUntouched = false;
    /** The id that was made here last, which no other visitor can have. */
    private $made;
    /** The id that could not be read, and must not be written. */
    private $unread;

    /**
     * @param Options|array $options settings that cannot be are reported when a session starts: pages without one work
     */
    public function __construct($options = [])
    {
        $this->settings = $options;
    }

    /** Nothing is connected yet: PHP 7.0 and 7.1 end the script where this fails. */
    #[\ReturnTypeWillChange]
    public function open($path, $name)
    {
        if ($_FILES) {
            UploadProgress::keepCookie();
        }
        return true;
    }

    #[\ReturnTypeWillChange]
    public function create_sid()
    {
        $id = function_exists('session_create_id') ? session_create_id() : false;
        if (!is_string($id)) {
            $id = bin2hex(random_bytes(16));
        }
        return $this->made = $id;
    }

    #[\ReturnTypeWillChange]
    public function validateId(
        #[\SensitiveParameter]
        $id
    ) {
        list($key, $id) = [$this->keyOf($id), self::HIDDEN];
        if (!$key->isWellFormed() || $key->id() === $this->made) {
            return false;
        }
        $this->load($key);
        $this->isLoadedAhead = true;
        // Where the server cannot be asked, read() reports it; a new id would only hide it.
        return $this->failure !== null || $this->session->data !== null;
    }

    #[\ReturnTypeWillChange]
    public function read(
        #[\SensitiveParameter]
        $id
    ) {
        $key = $this->keyOf($id);
        $id = self::HIDDEN;
        if (!$this->isLoadedAhead || ($key !== $this->loadedKey && $key->id() !== $this->loadedKey->id())) {
            $this->load($key);
        }
        $failure = $this->failure;
        $this->failure = $this->unread = null;
        $this->isLoadedAhead = false;
        if ($failure === null) {
            $this->isUntouched = true;
            return (string) $this->session->data;
        }
        if ($key->id() === $this->made && self::isInside('session_regenerate_id')) {
            // PHP ends the script where this fails. There is nothing to read yet, and write() does without a lock.
            $this->fail('lock', $key, $failure, null);
            return '';
        }
        $this->unread = $key->id();
        return $this->fail('read', $key, $failure, 'Failed to read session data');
    }

    #[\ReturnTypeWillChange]
    public function write(
        #[\SensitiveParameter]
        $id,
        #[\SensitiveParameter]
        $data
    ) {
        $key = $this->keyOf($id);
        $id = self::HIDDEN;
        $bytes = $data;
        $data = self::HIDDEN;
        $this->isUntouched = false;
        if ($this->unread === $key->id()) {
            // Only PHP 7.0 comes here, where a session whose read failed is open, and empty.
            return false;
        }
        if ($this->made === $key->id()) {
            $this->made = null;
        }
        $session = $this->loadedAs($key);
        if ($session === null) {
            $this->forget();
        }
        $started = Clock::now();
        try {
            if ($session === null) {
                list($server, $store) = $this->placeOf($key);
                $store->overwrite($server, $key, $bytes);
            } elseif ($session->data === $bytes) {
                $isThere = $this->place[1]->prolong($this->place[0], $session);
                if (!$isThere && self::isInside('session_regenerate_id')) {
                    throw new Conflict('it was destroyed, or has expired, since this request read it; it gets no new id');
                }
            } else {
                $this->place[1]->write($this->place[0], $session, $bytes);
            }
            return true;
        } catch (\Throwable $failure) {
            $this->secs = Clock::now() - $started;
            return $this->fail('write', $key, $failure, 'Failed to write session data|Session write failed');
        }
    }

    /** Which PHP calls where the data are those of read(); write() compares them. */
    #[\ReturnTypeWillChange]
    public function updateTimestamp(
        #[\SensitiveParameter]
        $id,
        #[\SensitiveParameter]
        $data
    ) {
        list($sid, $bytes, $id, $data) = [$id, $data, self::HIDDEN, self::HIDDEN];
        return $this->write($sid, $bytes);
    }

    #[\ReturnTypeWillChange]
    public function destroy(
        #[\SensitiveParameter]
        $id
    ) {
        list($key, $id) = [$this->keyOf($id), self::HIDDEN];
        $session = $this->loadedAs($key) ?: new LoadedSession($key);
        $this->isUntouched = false;
        $echo = 'Session object destruction failed';
        $isDone = $this->attempt('destroy', $key, $echo, function (SessionStore $store, $server) use ($session) {
            if (self::isInside('session_regenerate_id')) {
                $store->destroyMoved($server, $session);
            } else {
                $store->destroy($server, $session);
            }
        });
        $this->forget();
        return $isDone;
    }

    #[\ReturnTypeWillChange]
    public function close()
    {
        $session = $this->session;
        // Closed by session_start() itself: that is read_and_close, a visit. After session_abort() there is none.
        if ($this->isUntouched && $session !== null && $session->data !== null && self::isInside('session_start')) {
            $this->attempt('prolong', $session->key, null, function (SessionStore $store, $server) use ($session) {
                $store->prolong($server, $session);
            });
        }
        $this->forget();
        if ($this->pool !== null) {
            $this->pool->close();
        }
        return true;
    }

    /** The server expires sessions. */
    #[\ReturnTypeWillChange]
    public function gc($maxLifeTime)
    {
        return 0;
    }

    /** What a dump of this object may show. */
    public function __debugInfo()
    {
        return ['options' => $this->options];
    }

    /** Loads the session, or keeps the reason why it cannot be; never throws. */
    private function load(SessionKey $key)
    {
        if ($this->loadedAs($key) === null) {
            $this->forget();
        }
        $this->loadedKey = $key;
        $this->session = $this->failure = $this->place = null;
        $started = Clock::now();
        try {
            $this->place = $this->placeOf($key);
            $this->session = $this->place[1]->load($this->place[0], $key, $key->id() === $this->made);
        } catch (\Throwable $failure) {
            $this->failure = $failure;
            $this->secs = Clock::now() - $started;
        }
    }

    /** Does something with the session of the key; what goes wrong is a warning and false. */
    private function attempt($deed, SessionKey $key, $echo, callable $do)
    {
        $started = Clock::now();
        try {
            list($server, $store) = $this->session !== null && $this->loadedKey->id() === $key->id()
                ? $this->place : $this->placeOf($key);
            $do($store, $server);
            return true;
        } catch (\Throwable $failure) {
            // It knows the data of the session, and PHP shows them in a trace.
            $do = null;
            $this->secs = Clock::now() - $started;
            return $this->fail($deed, $key, $failure, $echo);
        }
    }

    /** The server of the session, and how it is spoken to. */
    private function placeOf(SessionKey $key)
    {
        if ($this->fault !== null) {
            throw $this->fault;
        }
        $key->check();
        $server = $this->serverOf($key);
        // A connection that was kept shows which dialect it is, and that the server did not fail a moment ago.
        $isClassic = ($this->isClassic || $this->pool->keptTo($server) === null)
            && Dialect::isClassic($server, $this->options, $this->pool);
        if (!isset($this->stores[$isClassic])) {
            $this->stores[$isClassic] = $isClassic
                ? new ClassicSessions($this->options, new ClassicRequests($this->options))
                : new LockedSessions($this->options, $this->pool);
        }
        return [$server, $this->stores[$isClassic]];
    }

    private function serverOf(SessionKey $key)
    {
        return $this->ring === null ? $this->server : $this->ring->serverOf($key->key());
    }

    /** Releases the lock of a session that the page no longer uses. */
    private function forget()
    {
        if ($this->session !== null && $this->session->lock() !== null) {
            $this->place[1]->release($this->place[0], $this->session);
        }
        $this->session = $this->failure = null;
        $this->isLoadedAhead = $this->isUntouched = false;
    }

    private function loadedAs(SessionKey $key)
    {
        return $this->session !== null && ($this->session->key === $key || $this->session->key->id() === $key->id())
            ? $this->session : null;
    }

    private function keyOf(
        #[\SensitiveParameter]
        $id
    ) {
        if ($this->options === null && $this->fault === null) {
            try {
                $this->configure($this->settings instanceof Options ? $this->settings : new Options($this->settings));
            } catch (\Throwable $fault) {
                $this->fault = $fault;
            }
        }
        if ($this->key === null || $this->key->id() !== $id) {
            $this->key = new SessionKey($this->prefix, $id);
        }
        return $this->key;
    }

    private function configure(Options $options)
    {
        $servers = $options->servers();
        $this->server = $servers[0];
        $this->ring = count($servers) === 1 ? null : new ServerRing($servers);
        $this->pool = new ConnectionPool($options);
        $this->options = $options;
        $this->prefix = $options->prefix();
        $this->isClassic = $options->protocol() === Options::CLASSIC;
    }

    /** One warning; and false, for PHP. What PHP itself reports about that false matches $echo, and is left out. */
    private function fail($deed, SessionKey $key, \Throwable $failure, $echo)
    {
        $place = $this->server === null ? '' : ' on ' . $this->serverOf($key)->name();
        $message = sprintf(
            'Sharedance could not %s the session%s: %s (after %.3F s)',
            $deed,
            $place,
            $failure->getMessage(),
            $this->secs
        );
        Warning::raise($message, $echo);
        return false;
    }

    private static function isInside($function)
    {
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $frame) {
            if ($frame['function'] === $function && !isset($frame['class'])) {
                return true;
            }
        }
        return false;
    }
}
