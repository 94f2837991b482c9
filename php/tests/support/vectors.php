<?php

/*
 * Reads the wire vectors; tests/vectors/README.md describes their format.
 */

/** The files of a dialect, by name: limit, and exchanges with sent, expected, end and reason. */
function vector_files($dialect)
{
    $files = [];
    foreach (glob(__DIR__ . '/../../../tests/vectors/' . $dialect . '/*.txt') as $path) {
        $files[basename($path, '.txt')] = vector_file($path);
    }
    return $files;
}

function vector_file($path)
{
    $vector = ['limit' => null, 'exchanges' => []];
    $next = $fresh = ['sent' => '', 'expected' => '', 'isPlain' => true, 'end' => '', 'reason' => ''];
    foreach (file($path, FILE_IGNORE_NEW_LINES) as $number => $line) {
        if ($line === '' || $line[0] === '#') {
            continue;
        }
        if (preg_match('/^! limit (\d+)$/D', $line, $found)) {
            $vector['limit'] = (int) $found[1];
        } elseif (preg_match('/^([<>+]) "(.*)"(?: \* (\d+))?$/D', $line, $found)) {
            $bytes = str_repeat(stripcslashes($found[2]), isset($found[3]) ? (int) $found[3] : 1);
            $next[$found[1] === '<' ? 'expected' : 'sent'] .= $bytes;
            $next['isPlain'] = $next['isPlain'] && $found[1] !== '+';
        } elseif ($line === '> shutdown') {
            $next['isPlain'] = false;
        } elseif (preg_match('/^= (\S+)(?: (\S+))?$/D', $line, $found)) {
            $next['end'] = $found[1];
            $next['reason'] = isset($found[2]) ? $found[2] : '';
            $vector['exchanges'][] = $next;
            $next = $fresh;
        } else {
            throw new Failed(basename($path) . ':' . ($number + 1) . ': ' . $line);
        }
    }
    return $vector;
}

/** The request, if exactly one whole request was sent: command, key, value; otherwise null. */
function vector_request(array $exchange)
{
    $sent = $exchange['sent'];
    $commands = ['S' => 'store', 'F' => 'fetch', 'D' => 'delete'];
    $command = $sent === '' || !isset($commands[$sent[0]]) ? null : $commands[$sent[0]];
    $headerLen = $command === 'store' ? 9 : 5;
    if ($command === null || !$exchange['isPlain'] || strlen($sent) < $headerLen) {
        return null;
    }
    // In the encoding of the codec: an integer of PHP may have only 32 bits.
    for ($keyLen = 0; $keyLen <= strlen($sent) - $headerLen; $keyLen++) {
        if (substr($sent, 1, 4) === pack('N', $keyLen)) {
            $key = (string) substr($sent, $headerLen, $keyLen);
            $value = (string) substr($sent, $headerLen + $keyLen);
            $isWhole = $command === 'store' ? substr($sent, 5, 4) === pack('N', strlen($value)) : $value === '';
            return $isWhole ? ['command' => $command, 'key' => $key, 'value' => $value] : null;
        }
        if ($keyLen > 1000) {
            return null;
        }
    }
    return null;
}
