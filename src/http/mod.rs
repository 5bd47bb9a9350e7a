//! What a message means, whatever its wire form: methods, versions, heads as offsets over received bytes.

mod again;
mod alike;
mod changes;
mod date;
mod edits;
mod escape;
mod forward;
mod head;
mod known;
mod method;
mod request_id;
mod sender;
mod token;
mod websocket;
mod within;

pub use again::{RequestWriter, ResponseWriter, Rules};
pub use alike::is_disguised;
pub use changes::{Changes, Mark};
pub use date::parse_date;
pub use edits::{Edits, name_hash};
pub use escape::{Decode, escaped, pair_of, unescaped};
pub use forward::{
    Additions, RequestOut, ResponseOut, connection_line, kept_request_id, write_line, write_request, write_response, write_status,
};
pub use head::{Connection, Field, Framing, RequestHead, ResponseHead, Span, Version};
pub use known::Known;
pub use method::Method;
pub use request_id::RequestId;
pub use sender::Sender;
pub use token::{is_token, is_token_byte};
pub use websocket::websocket_accept;
pub use within::is_within;
