<?php
/* settings.php?serializer=NAME&lazy=0|1&strict=0|1[&count]: a page with these settings, which counts or only reads. */
session_start([
    'serialize_handler' => $_GET['serializer'], 'lazy_write' => $_GET['lazy'], 'use_strict_mode' => $_GET['strict'],
]) || exit('no session');
if (isset($_GET['count'])) {
    $_SESSION['n'] = isset($_SESSION['n']) ? $_SESSION['n'] + 1 : 1;
    $_SESSION['list'][] = "\0|;{}";
}
echo isset($_SESSION['n']) ? $_SESSION['n'] . ' ' . count($_SESSION['list']) : 'nothing';
