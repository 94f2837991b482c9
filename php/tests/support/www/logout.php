<?php
session_start() || exit('no session');
echo session_destroy() ? 'bye' : 'still here';
