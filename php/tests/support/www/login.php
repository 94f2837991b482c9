<?php
session_start() || exit('no session');
session_regenerate_id(true);
$_SESSION['user'] = 'alice';
$_SESSION['visits'] = 0;
echo 'welcome';
