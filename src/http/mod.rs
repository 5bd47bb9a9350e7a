//! What a message means, whatever its wire form: methods, versions, heads as offsets over received bytes.

mod edits;
mod forward;
mod head;
mod method;

pub use edits::Edits;
pub use forward::{Additions, RequestOut, ResponseOut, Sender, connection_line, write_line, write_request, write_response, write_status};
pub use head::{Connection, Field, Framing, Known, RequestHead, ResponseHead, Span, Version};
pub use method::Method;
