<?php
if (!session_start()) {
    http_response_code(503);
    exit('no session');
}
if (!isset($_SESSION['user'])) {
    exit('no user');
}
echo $_SESSION['user'], ' ', ++$_SESSION['visits'];
