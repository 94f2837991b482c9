<?php

namespace Sharedance;

use Sharedance\Exception\CannotConnect;
use Sharedance\Exception\Refused;

/**
 * Sessions of PHP, kept by Sharedance.
 *
 * It never throws; a failure is one warning and, from session_start(), false. It never takes a failure for an empty
 * session, and never writes a session that it could not read. Ids of sessions get into no message and no trace: each
 * method hides its parameter at once, since a trace shows what it holds by then.
 *
 * The classic dialect has one life time for all pairs, the server's --expiration, and nothing that only extends it: a
 * session that did not change is stored again, which the server notices, so that it takes no space.
 */
class SessionHandler implements
    \SessionHandlerInterface,
    \SessionIdInterface,
    \SessionUpdateTimestampHandlerInterface
{
    const HIDDEN = '(hidden)';

    private $options;
    private $client;
    private $outage;
    /** What validateId() found, kept for the read() that follows. */
    private $found;
    /** Ids that were made here and not stored yet. */
    private $made = [];
    /** Ids that could not be read, and must not be written. */
    private $unread = [];
    /** What read() found, while nothing has been written since. */
    private $untouched;

    /**
     * @param Options|array $options
     * @param Outage|null $outage
     */
    public function __construct($options = [], $outage = null)
    {
        $this->options = $options instanceof Options ? $options : new Options($options);
        $this->client = new Client($this->options);
        $this->outage = $outage === null ? new Outage() : $outage;
    }

    /** Nothing is connected yet: PHP 7.0 and 7.1 end the script where this fails. */
    #[\ReturnTypeWillChange]
    public function open($path, $name)
    {
        return true;
    }

    #[\ReturnTypeWillChange]
    public function create_sid()
    {
        $id = function_exists('session_create_id') ? session_create_id() : false;
        if (!is_string($id)) {
            $id = bin2hex(random_bytes(16));
        }
        $this->made[$id] = true;
        return $id;
    }

    #[\ReturnTypeWillChange]
    public function validateId(
        #[\SensitiveParameter]
        $id
    ) {
        list($session, $id) = [$this->sessionOf($id), self::HIDDEN];
        if (!$session->isWellFormed() || isset($this->made[$session->id()])) {
            return false;
        }
        $this->found = $this->look($session);
        // Where the server cannot be asked, read() says so; a new id would only hide it.
        return $this->found['bytes'] !== null || $this->found['failure'] !== null;
    }

    #[\ReturnTypeWillChange]
    public function read(
        #[\SensitiveParameter]
        $id
    ) {
        list($session, $id) = [$this->sessionOf($id), self::HIDDEN];
        list($found, $this->found, $this->untouched) = [$this->found, null, null];
        if (isset($this->made[$session->id()]) && self::isInside('session_regenerate_id')) {
            // There is nothing to read yet; and where this fails, PHP ends the script.
            return '';
        }
        if ($found === null || $found['session']->id() !== $session->id()) {
            $found = $this->look($session);
        }
        if ($found['failure'] !== null) {
            $this->unread[$session->id()] = true;
            return $this->fail('read', $session, $found['failure'], $found['secs'], 'Failed to read session data');
        }
        unset($this->unread[$session->id()]);
        if ($found['bytes'] !== null) {
            $this->untouched = $found;
        }
        return $found['data'];
    }

    #[\ReturnTypeWillChange]
    public function write(
        #[\SensitiveParameter]
        $id,
        #[\SensitiveParameter]
        $data
    ) {
        list($session, $id) = [$this->sessionOf($id), self::HIDDEN];
        list($bytes, $data) = [$this->options->prefix() === '' ? $data : Envelope::seal($data), self::HIDDEN];
        $this->untouched = null;
        if (isset($this->unread[$session->id()])) {
            // Only PHP 7.0 comes here, where a session whose read failed is open, and empty.
            return false;
        }
        unset($this->made[$session->id()]);
        $started = Clock::now();
        try {
            $this->store($session, $bytes);
            return true;
        } catch (\Throwable $failure) {
            $echo = 'Failed to write session data|Session write failed';
            return $this->fail('write', $session, $failure, Clock::now() - $started, $echo);
        }
    }

    #[\ReturnTypeWillChange]
    public function updateTimestamp(
        #[\SensitiveParameter]
        $id,
        #[\SensitiveParameter]
        $data
    ) {
        list($sid, $all, $id, $data) = [$id, $data, self::HIDDEN, self::HIDDEN];
        return $this->write($sid, $all);
    }

    #[\ReturnTypeWillChange]
    public function destroy(
        #[\SensitiveParameter]
        $id
    ) {
        list($session, $id) = [$this->sessionOf($id), self::HIDDEN];
        list($this->found, $this->untouched) = [null, null];
        $started = Clock::now();
        try {
            $this->delete($session);
            return true;
        } catch (\Throwable $failure) {
            $echo = 'Session object destruction failed';
            return $this->fail('destroy', $session, $failure, Clock::now() - $started, $echo);
        }
    }

    #[\ReturnTypeWillChange]
    public function close()
    {
        list($read, $this->found, $this->untouched) = [$this->untouched, null, null];
        // Closed by session_start() itself: that is read_and_close. The visit counts, so the session lives on. After
        // session_abort() it does not: another request may have stored something newer in the meantime.
        if ($read !== null && self::isInside('session_start')) {
            $started = Clock::now();
            try {
                $this->store($read['session'], $read['bytes']);
            } catch (\Throwable $failure) {
                $this->fail('prolong', $read['session'], $failure, Clock::now() - $started, null);
            }
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

    private function sessionOf(
        #[\SensitiveParameter]
        $id
    ) {
        return new SessionKey($this->options->prefix(), $id);
    }

    /** Asks for the session, and never throws. */
    private function look(SessionKey $session)
    {
        $started = Clock::now();
        $found = ['session' => $session, 'bytes' => null, 'data' => '', 'failure' => null];
        try {
            $found['bytes'] = $this->fetch($session);
            if ($found['bytes'] !== null) {
                $found['data'] = Envelope::open($found['bytes']);
            }
        } catch (\Throwable $failure) {
            $found['failure'] = $failure;
        }
        $found['secs'] = Clock::now() - $started;
        return $found;
    }

    private function fetch(SessionKey $session)
    {
        $fetch = function () use ($session) {
            return $this->client->fetch($session->key());
        };
        $bytes = $this->ask($session, $fetch);
        if ($bytes === null && !isset($this->made[$session->id()])) {
            // A server that dies before it answers looks like one that has no such pair. The second answer is believed.
            $bytes = $this->ask($session, $fetch);
        }
        return $bytes;
    }

    private function store(
        SessionKey $session,
        #[\SensitiveParameter]
        $bytes
    ) {
        $this->ask($session, function () use ($session, $bytes) {
            $this->client->store($session->key(), $bytes);
        });
    }

    private function delete(SessionKey $session)
    {
        $isGone = $this->ask($session, function () use ($session) {
            $key = $session->key();
            // Not deleted means that nothing is there, or that the server went away before it answered.
            return $this->client->delete($key) || $this->client->fetch($key) === null || $this->client->delete($key);
        });
        if (!$isGone) {
            throw new Refused('the server does not delete it');
        }
    }

    private function ask(SessionKey $session, callable $request)
    {
        $session->check();
        $server = $this->client->serverOf($session->key());
        $pause = $this->outage->secondsLeft($server);
        if ($pause > 0.0) {
            throw new CannotConnect(sprintf(
                'it could not be reached a moment ago, and is left alone for another %.1F s',
                $pause
            ));
        }
        try {
            return $request();
        } catch (CannotConnect $failure) {
            $this->outage->begin($server);
            throw $failure;
        }
    }

    /** One warning; and false, for PHP. What PHP itself says about that false matches $echo, and is not said. */
    private function fail($deed, SessionKey $session, \Throwable $failure, $secs, $echo)
    {
        $warning = sprintf(
            'Sharedance could not %s the session on %s: %s (after %.3F s)',
            $deed,
            $this->client->serverOf($session->key())->name(),
            $failure->getMessage(),
            $secs
        );
        try {
            trigger_error($warning, E_USER_WARNING);
        } catch (\Throwable $thrown) {
            // The application makes exceptions of warnings. PHP's own warning, which follows, is a better place for
            // one: out of here it would keep close() from being called.
            error_log($warning);
            return false;
        }
        if ($echo !== null) {
            self::skipWarning($echo);
        }
        return false;
    }

    private static function skipWarning($pattern)
    {
        $isDue = true;
        $previous = set_error_handler(function (...$error) use (&$previous, &$isDue, $pattern) {
            if ($isDue) {
                $isDue = false;
                restore_error_handler();
                if (preg_match('/' . $pattern . '/', $error[1])) {
                    return true;
                }
            }
            return $previous === null ? false : call_user_func_array($previous, $error);
        });
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
