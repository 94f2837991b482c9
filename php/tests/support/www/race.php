<?php
/*
 * race.php?deed=DEED&gate=NAME: a page that executes DEED on the session. With a gate it is slow: it creates the file
 * NAME.ready when its session is open, and continues when NAME.go exists.
 */
$deed = $_GET['deed'];
session_start($deed === 'read_and_close' ? ['read_and_close' => true] : []) || exit('no session');
$by = 'other';
if (isset($_GET['gate'])) {
    $by = 'slow';
    $gate = $_SERVER['GATES'] . '/' . basename($_GET['gate']);
    touch("$gate.ready");
    for ($waited = 0; !file_exists("$gate.go") && $waited < 60000; $waited += 5) {
        usleep(5000);
        clearstatcache();
    }
}
switch ($deed) {
    case 'login':
        $_SESSION = ['user' => 'alice'];
        break;
    case 'changed':
    case 'change':
        $_SESSION[$by] = true;
        break;
    case 'regenerate':
        session_regenerate_id(true);
        break;
    case 'destroy':
        session_destroy();
        break;
    case 'look':
        // The owner of the session, and the pages that changed it.
        echo json_encode(array_keys($_SESSION));
        session_abort();
        exit;
}
$id = session_id();
session_status() === PHP_SESSION_ACTIVE && session_write_close();
echo $id;
