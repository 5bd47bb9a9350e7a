//! What a message means, whatever its wire form: methods, versions, heads as offsets over received bytes.

mod head;
mod method;

pub use head::{Connection, Field, Framing, Known, RequestHead, ResponseHead, Span, Version};
pub use method::Method;
