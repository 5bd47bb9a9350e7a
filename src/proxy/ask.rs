//! What a link of the chain asks of the outside: passwords are checked by threads of their own, services are sent requests.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::core::Core;
use super::merge::Merged;
use crate::auth::Hash;
use crate::exchange::{Place, View};
use crate::middleware::{Fetch, Password, Question, Reply};

/// Checks passwords, elsewhere.
pub trait Checks {
    /// Has a password checked, under a number; `false` if too many wait.
    fn ask(&self, number: u64, hash: &Arc<Hash>, password: Password) -> bool;
    /// A number whose password is checked, and whether it is right.
    fn take(&self) -> Option<(u64, bool)>;
}

/// Questions under way that several may ask, each with the generation of the plan that it is asked by.
pub(super) type Shared = Merged<(u64, Question), Reply>;

/// Passwords being checked, each with what came of it once it is known.
pub(super) type Asked = HashMap<u64, Option<bool>>;

/// Forgets a check whose request is gone.
struct Under<'a>(&'a Core, u64);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.asked.borrow_mut().remove(&self.1);
    }
}

impl Core {
    /// The answer to a question. Waits for it.
    pub(super) async fn reply(&self, view: &Rc<View>, question: Question) -> Reply {
        if let Question::Fetch(Fetch { shared: false, .. }) = question {
            return self.ask(view, &question).await;
        }
        let question = Rc::new((view.plan.generation, question));
        let reply = self.questions.ask(&self.waiters, self.waiters.ticket(), question.clone(), self.ask(view, &question.1)).await;
        self.woke();
        reply
    }

    async fn ask(&self, view: &Rc<View>, question: &Question) -> Reply {
        let (hash, password) = match question {
            Question::Password(hash, password) => (hash, password),
            Question::Fetch(fetch) => return self.fetch(view, fetch).await.map_or(Reply::Failed, Reply::Fetched),
        };
        let number = self.waiters.ticket();
        if !self.checks.ask(number, hash, password.clone()) {
            return Reply::Busy;
        }
        self.asked.borrow_mut().insert(number, None);
        let _under = Under(self, number);
        loop {
            self.waiters.wait(Place::Reply(number), number).await;
            self.woke();
            if let Some(Some(is)) = self.asked.borrow().get(&number) {
                return Reply::Password(*is);
            }
        }
    }

    /// Takes the answers that have come.
    pub fn take_replies(&self) {
        while let Some((number, is)) = self.checks.take() {
            if let Some(answer) = self.asked.borrow_mut().get_mut(&number) {
                *answer = Some(is);
            }
            self.waiters.wake_all_of(Place::Reply(number));
        }
    }
}
