<?php
$asked = hrtime(true);
session_start() || exit('no session');
$got = hrtime(true);
$_SESSION['n'] = isset($_SESSION['n']) ? $_SESSION['n'] + 1 : 1;
echo $_SESSION['n'], ' ', $asked, ' ', $got, ' ', hrtime(true);
session_write_close();
