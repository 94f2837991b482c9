//! A call of one or more exchanges, one after another. A [`Plan`] decides after each exchange what follows.

use std::ops::ControlFlow;

use crate::command::Command;
use crate::runtime::Runtime;

use super::exchange::Exchange;
use super::{Call, Event, Link, Step};

/// The next exchange, or the output of the call.
pub(super) type Next<R, C, T> = ControlFlow<T, Exchange<R, C>>;

pub(super) trait Plan<R: Runtime, C: Command> {
    type Output;

    /// Takes the result of an exchange that is done, and decides what follows.
    fn after(&mut self, exchange: Exchange<R, C>) -> Next<R, C, Self::Output>;
}

pub(super) struct Sequence<R: Runtime, C: Command, P: Plan<R, C>> {
    plan: P,
    /// One of the two is present.
    exchange: Option<Exchange<R, C>>,
    output: Option<P::Output>,
}

impl<R: Runtime, C: Command, P: Plan<R, C>> Sequence<R, C, P> {
    pub(super) fn new(plan: P, first: Next<R, C, P::Output>) -> Sequence<R, C, P> {
        let mut sequence = Sequence { plan, exchange: None, output: None };
        sequence.follow(first);
        sequence
    }

    fn follow(&mut self, next: Next<R, C, P::Output>) {
        match next {
            ControlFlow::Continue(exchange) => self.exchange = Some(exchange),
            ControlFlow::Break(output) => self.output = Some(output),
        }
    }
}

impl<R: Runtime, C: Command, P: Plan<R, C>> Call<R> for Sequence<R, C, P> {
    type Output = P::Output;

    fn step(&mut self, mut event: Event<R>) -> Step {
        while let Some(exchange) = &mut self.exchange {
            match exchange.step(event) {
                Step::Done => event = Event::Start,
                step => return step,
            }
            if let Some(done) = self.exchange.take() {
                let next = self.plan.after(done);
                self.follow(next);
            }
        }
        Step::Done
    }

    fn link(&mut self) -> &mut Link<R> {
        &mut self.exchange.as_mut().expect("the call is not done").link
    }

    fn finish(self) -> Self::Output {
        self.output.expect("the call is done")
    }
}
