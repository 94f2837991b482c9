//! The connections of a client to one server: some in use, some idle, no more than allowed. Written once for both
//! clients, which differ in how they wait.

/// Gives a client its pool: what makes a function asynchronous, and what waits in one. `Connection`, `Turns` and `Turn`
/// are the client's own.
macro_rules! pool {
    ({ $($async:ident)? }, { $($await:tt)* }) => {
        pub(crate) struct Pool {
            idle: Mutex<Idle<Connection>>,
            turns: Arc<Turns>,
        }

        impl Pool {
            pub(crate) fn new(options: &Options) -> Pool {
                let turns = Turns::new(options.max_connections.get());
                Pool { idle: Mutex::new(Idle::new(options.idle_timeout)), turns: Arc::new(turns) }
            }

            /// A panic while it is held cannot have left it half changed.
            fn idle(&self) -> MutexGuard<'_, Idle<Connection>> {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner)
            }

            /// An idle connection that can be used. What is too old is closed, and not while others wait for the lock.
            fn take(&self) -> Option<Connection> {
                let (connection, outdated) = self.idle().take(now());
                drop(outdated);
                connection.filter(Connection::is_fit)
            }

            fn put(&self, connection: Connection) {
                let outdated = self.idle().put(connection, now());
                drop(outdated);
            }
        }

        /// The right to use a connection to a server, and the connection. When it is dropped, the connection gives back
        /// the locks that it may hold, and is kept for the next use if nothing is under way on it, and closed otherwise.
        pub(crate) struct Lease {
            server: Arc<Server<Pool>>,
            connection: Option<Connection>,
            is_reused: bool,
            _turn: Turn,
        }

        impl Lease {
            pub(crate) $($async)? fn take(server: &Arc<Server<Pool>>, deadline: Deadline) -> Result<Lease, Error> {
                server.admit()?;
                let turn = server.pool.turns.wait(deadline)$($await)*;
                let turn = turn.ok_or_else(|| server.none_free(deadline))?;
                let connection = server.pool.take();
                let is_reused = connection.is_some();
                let mut lease = Lease { server: Arc::clone(server), connection, is_reused, _turn: turn };
                if !is_reused {
                    lease.connect(deadline)$($await)*?;
                }
                Ok(lease)
            }

            $($async)? fn connect(&mut self, deadline: Deadline) -> Result<(), Error> {
                let server = &self.server;
                let left = deadline.left().ok_or_else(|| server.none_free(deadline))?;
                let timeout = server.options.connect_timeout.min(left);
                let opened = Connection::open(&server.address, timeout)$($await)*;
                self.connection = Some(opened.map_err(|error| server.observe(error))?);
                self.is_reused = false;
                Ok(())
            }

            /// Runs all the commands. The answers are in their order; where the connection went out of step, the last
            /// one is the rejection that says why, and those behind it are missing.
            pub(crate) $($async)? fn run<C: Command>(
                &mut self,
                commands: &[C],
                deadline: Deadline,
            ) -> Result<Outputs<C>, Error> {
                loop {
                    // Whoever gives up half-way takes the connection along.
                    let Some(mut connection) = self.connection.take() else {
                        return Err(Error::LockLost { server: self.server.name() });
                    };
                    let mut pipeline = Pipeline::new(commands, self.server.options.max_request_len);
                    let failure = match connection.run(&mut pipeline, deadline)$($await)* {
                        Ok(()) => {
                            let (outputs, is_in_step) = pipeline.finish();
                            self.connection = is_in_step.then_some(connection);
                            // What held a lock until here must not be repeated without it.
                            self.is_reused = false;
                            self.server.answered();
                            return Ok(outputs);
                        }
                        Err(failure) => failure,
                    };
                    // It may mean no more than that a kept connection had ended.
                    let is_outlived = self.is_reused && failure.is_silent_close();
                    if !is_outlived || !commands.iter().all(C::is_repeatable) {
                        return Err(self.server.observe(failure.into_error(&self.server.name())));
                    }
                    self.connect(deadline)$($await)*?;
                }
            }

            pub(crate) fn server_name(&self) -> String {
                self.server.name()
            }

        }

        impl Drop for Lease {
            fn drop(&mut self) {
                // Whatever became of the call that took a lock: the next one must not find it on the connection.
                if let Some(mut connection) = self.connection.take()
                    && connection.unlock_all_at_once()
                {
                    self.server.pool.put(connection);
                }
            }
        }
    };
}

pub(crate) use pool;
