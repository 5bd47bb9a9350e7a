//! Health: rise and fall by probes, ejection by what requests show, and the window over which that is counted. The rules only;
//! who applies them is `upstream` on each core and `reconcile` over all of them.

mod eject;
mod rise;
mod window;

pub use eject::{EJECTIONS_MAX, ejection_time, is_failure, is_failure_status, may_eject};
pub use rise::Vitals;
pub use window::{Counts, Window};
