<?php

/*
 * symfony.php?do=ACTION: a small application on Symfony's sessions.
 */

use Symfony\Component\HttpFoundation\Session\Session;
use Symfony\Component\HttpFoundation\Session\Storage\NativeSessionStorage;

require_once 'Symfony/Component/HttpFoundation/autoload.php';
require_once getenv('LIBRARY') . '/autoload.php';

$settings = ['host' => '127.0.0.1', 'port' => getenv('SHAREDANCE_PORT')];
$session = new Session(new NativeSessionStorage(['use_strict_mode' => true], new Sharedance\SessionHandler($settings)));
$session->start();
switch ($_GET['do']) {
    case 'login':
        $session->migrate(true);
        $session->set('user', 'alice');
        $session->getFlashBag()->add('notice', 'welcome');
        break;
    case 'count':
        $session->set('n', $session->get('n', 0) + 1);
        break;
    case 'logout':
        $session->invalidate();
        break;
}
echo json_encode([
    'user' => $session->get('user'),
    'session' => hash('sha256', $session->getId()),
    'n' => $session->get('n', 0),
    'flash' => $_GET['do'] === 'look' ? $session->getFlashBag()->get('notice') : null,
]);
$session->save();
