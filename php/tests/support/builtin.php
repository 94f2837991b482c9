<?php

/*
 * PHP's built-in server as a worker that serves many requests.
 */

final class Builtin
{
    public $pid;
    private $process;
    private $port;
    private $log;

    /** Serves the pages of support/worker with the session handler prepended, through the relay by default. */
    public function __construct(array $environment = [], array $ini = [])
    {
        $free = stream_socket_server('tcp://127.0.0.1:0');
        $this->port = (int) substr(strrchr(stream_socket_get_name($free, false), ':'), 1);
        fclose($free);
        $ini += [
            'auto_prepend_file' => dirname(dirname(__DIR__)) . '/session_handler.php',
            'display_errors' => '1',
            'log_errors' => '1',
            'html_errors' => '0',
            'error_reporting' => '-1',
            'session.use_strict_mode' => '0',
            'session.cache_limiter' => '',
            'session.upload_progress.enabled' => '0',
        ];
        $command = 'exec ' . setting('TEST_PHP');
        foreach ($ini as $name => $value) {
            $command .= ' -d ' . escapeshellarg($name . '=' . $value);
        }
        $command .= ' -S 127.0.0.1:' . $this->port . ' -t ' . escapeshellarg(__DIR__ . '/worker');
        $environment += [
            'SHAREDANCE_HOST' => '127.0.0.1',
            'SHAREDANCE_PORT' => setting('MOCK_RELAY'),
            'SHAREDANCE_TIMEOUT' => (string) TIMEOUT_SECS,
            'SHAREDANCE_CONNECT_TIMEOUT' => (string) TIMEOUT_SECS,
            'PATH' => getenv('PATH'),
            'TMPDIR' => sys_get_temp_dir(),
        ];
        $this->log = tempnam(sys_get_temp_dir(), 'builtin');
        $output = ['file', $this->log, 'a'];
        $this->process = proc_open($command, [1 => $output, 2 => $output], $pipes, null, $environment);
        $this->pid = proc_get_status($this->process)['pid'];
        holds(eventually(function () {
            return $this->connect() !== false;
        }), 'the built-in server does not start: ' . file_get_contents($this->log));
    }

    public function __destruct()
    {
        $this->stop();
    }

    public function stop()
    {
        if (is_resource($this->process)) {
            proc_terminate($this->process, 9);
            proc_close($this->process);
        }
    }

    /** The errors of pages, which are not displayed. */
    public function logged()
    {
        return implode("\n", preg_grep('/PHP (Warning|Notice|Deprecated|Fatal)/', file($this->log)));
    }

    /** Starts a request; pass the stream to answer(). */
    public function ask($path, $cookie = '', $body = null, $type = '')
    {
        $stream = $this->connect();
        holds($stream, 'the built-in server is gone: ' . substr(file_get_contents($this->log), -1000));
        fwrite($stream, ($body === null ? 'GET' : 'POST') . " /$path HTTP/1.0\r\nHost: localhost\r\n"
            . ($cookie === '' ? '' : "Cookie: PHPSESSID=$cookie\r\n")
            . ($body === null ? '' : "Content-Type: $type\r\nContent-Length: " . strlen($body) . "\r\n") . "\r\n$body");
        return $stream;
    }

    /** The whole response, with its headers. */
    public function answer($stream)
    {
        // A page that reaches its time limit needs a second of CPU time, which takes longer on a loaded machine.
        stream_set_timeout($stream, 120);
        $answer = (string) stream_get_contents($stream);
        holds(!stream_get_meta_data($stream)['timed_out'], 'the page does not answer');
        fclose($stream);
        return $answer;
    }

    /** The body of a page. */
    public function get($path, $cookie = '')
    {
        $answer = $this->answer($this->ask($path, $cookie));
        return (string) substr($answer, strpos($answer, "\r\n\r\n") + 4);
    }

    private function connect()
    {
        set_error_handler(function () {
            return true;
        });
        try {
            return stream_socket_client('tcp://127.0.0.1:' . $this->port, $number, $error, TIMEOUT_SECS);
        } finally {
            restore_error_handler();
        }
    }
}
