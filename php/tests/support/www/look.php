<?php
session_start(['read_and_close' => true]) || exit('no session');
echo isset($_SESSION['user']) ? $_SESSION['user'] . ' ' . $_SESSION['visits'] : 'no user';
