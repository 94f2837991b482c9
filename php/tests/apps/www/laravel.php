<?php

/*
 * laravel.php/ACTION: a small application on Laravel, with its kernel, its router and its session middleware.
 */

use Illuminate\Foundation\Application;
use Illuminate\Foundation\Http\Kernel;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;
use Illuminate\Support\Facades\Session;
use Illuminate\Support\ServiceProvider;

// Laravel 8 of Debian 12 is older than PHP 8.2.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once getenv('LIBRARY') . '/autoload.php';

final class AppServiceProvider extends ServiceProvider
{
    public function boot()
    {
        // The line from the documentation.
        Session::extend('sharedance', function ($app) {
            return new Sharedance\SessionHandler(['ttl' => $app['config']['session.lifetime'] * 60]);
        });

        $shown = function (Request $request) {
            return response()->json([
                'user' => $request->session()->get('user'),
                'session' => hash('sha256', $request->session()->getId()),
                'n' => $request->session()->get('n', 0),
                'flash' => $request->session()->get('notice'),
            ]);
        };
        Route::middleware('web')->group(function () use ($shown) {
            Route::get('/login', function (Request $request) use ($shown) {
                $request->session()->regenerate(true);
                $request->session()->put('user', 'alice');
                $request->session()->flash('notice', 'welcome');
                return $shown($request);
            });
            Route::get('/count', function (Request $request) use ($shown) {
                $request->session()->put('n', $request->session()->get('n', 0) + 1);
                return $shown($request);
            });
            Route::get('/logout', function (Request $request) use ($shown) {
                $request->session()->invalidate();
                return $shown($request);
            });
            Route::get('/look', $shown);
        });
    }
}

final class AppKernel extends Kernel
{
    protected $middlewareGroups = ['web' => [
        \Illuminate\Cookie\Middleware\EncryptCookies::class,
        \Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
        \Illuminate\Session\Middleware\StartSession::class,
    ]];
    protected $bootstrappers = [
        \Illuminate\Foundation\Bootstrap\RegisterFacades::class,
        \Illuminate\Foundation\Bootstrap\RegisterProviders::class,
        \Illuminate\Foundation\Bootstrap\BootProviders::class,
    ];
}

final class AppExceptionHandler extends \Illuminate\Foundation\Exceptions\Handler
{
}

// The runner's folder of this web server.
$app = new Application(dirname(__DIR__) . '/tmp');
$app->instance('config', new Illuminate\Config\Repository([
    'app' => [
        'key' => 'base64:' . base64_encode(str_repeat('k', 32)), 'cipher' => 'AES-256-CBC', 'debug' => true,
        'providers' => [
            Illuminate\Cookie\CookieServiceProvider::class,
            Illuminate\Encryption\EncryptionServiceProvider::class,
            Illuminate\Filesystem\FilesystemServiceProvider::class,
            Illuminate\Session\SessionServiceProvider::class,
            Illuminate\View\ViewServiceProvider::class,
            AppServiceProvider::class,
        ],
    ],
    'session' => [
        'driver' => 'sharedance', 'lifetime' => 20, 'expire_on_close' => false, 'encrypt' => false, 'cookie' => 'laravel',
        'path' => '/', 'domain' => null, 'secure' => false, 'http_only' => true, 'same_site' => 'lax', 'lottery' => [2, 100],
    ],
    'view' => ['paths' => [], 'compiled' => dirname(__DIR__) . '/tmp'],
    'logging' => ['default' => 'null', 'channels' => ['null' => ['driver' => 'monolog', 'handler' => Monolog\Handler\NullHandler::class]]],
]));
$app->singleton(Illuminate\Contracts\Http\Kernel::class, AppKernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, AppExceptionHandler::class);
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$request = Request::capture();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
