//! Purges on their way to the workers' caches: those of requests to all other workers, those of operators to all.

use std::sync::Arc;

use crossbeam_channel::bounded;

use super::Coordinator;
use crate::admin::Answers;
use crate::cache::{Purge, Purged};

impl Coordinator {
    /// What one core's requests made invalid is so on the others too.
    pub(super) fn pass_on(&mut self, from: u32, purges: &[Purge]) {
        let purges: Arc<[Purge]> = purges.into();
        let others = self.workers.iter_mut().enumerate().filter(|&(index, _)| index != from as usize);
        others.for_each(|(_, (_, post, _))| post.purge(purges.clone(), None));
    }

    /// A purge on request of the private listener, on every worker that runs; their answers come one by one.
    pub(super) fn purge(&mut self, purges: Vec<Purge>) -> Answers<Purged> {
        let (reply, answers) = bounded(self.workers.len());
        let purges: Arc<[Purge]> = purges.into();
        let mut asked = 0;
        for (_, post, _) in self.workers.iter_mut().filter(|(seat, ..)| !(seat.ended)()) {
            post.purge(purges.clone(), Some(reply.clone()));
            asked += 1;
        }
        self.send_posts();
        Answers { asked, answers }
    }
}
