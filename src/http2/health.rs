//! gRPC's health protocol: the two messages of `grpc.health.v1.Health/Check`, as they stand in a body.

/// The call's path.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";

/// What a service says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It isn't known yet.
    Unknown,
    /// It is well.
    Serving,
    /// It isn't.
    NotServing,
    /// There is no such service.
    ServiceUnknown,
}

impl Serving {
    /// Its name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Serving::Unknown => "UNKNOWN",
            Serving::Serving => "SERVING",
            Serving::NotServing => "NOT_SERVING",
            Serving::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// A question's body: a `HealthCheckRequest` for this service, of less than 16 KiB, behind its length.
pub fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        let length = service.len();
        if length >= 0x80 {
            message.push(length as u8 | 0x80);
        }
        message.push(if length >= 0x80 { (length >> 7) as u8 } else { length as u8 });
        message.extend_from_slice(service.as_bytes());
    }
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend(message);
    body
}

/// An answer's body, which is a `HealthCheckResponse` behind its length; nothing, if it is something else.
pub fn answer(body: &[u8]) -> Option<Serving> {
    let (front, mut message) = body.split_at_checked(5)?;
    let &[0, a, b, c, d] = front else { return None };
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match (key >> 3, key & 7) {
            (1, 0) => {
                status = varint(&mut message)?;
                0
            }
            // Fields that later versions may have.
            (_, 0) => varint(&mut message).map(|_| 0)?,
            (_, 1) => 8,
            (_, 2) => usize::try_from(varint(&mut message)?).ok()?,
            (_, 5) => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(match status {
        0 => Serving::Unknown,
        1 => Serving::Serving,
        2 => Serving::NotServing,
        3 => Serving::ServiceUnknown,
        _ => return None,
    })
}

/// Takes a number of seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The key of a `HealthCheckRequest`'s only field.
const SERVICE: u8 = 1 << 3 | 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_their_service() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn answers_say_how_it_is() {
        let framed = |message: &[u8]| [&[0, 0, 0, 0, message.len() as u8], message].concat();
        for (message, says) in [
            (&[][..], Some(Serving::Unknown)),
            (&[8, 1], Some(Serving::Serving)),
            (&[8, 2], Some(Serving::NotServing)),
            (&[8, 3], Some(Serving::ServiceUnknown)),
            (&[8, 4], None),
            (&[8, 0x81, 0], Some(Serving::Serving)),
            (&[8, 2, 8, 1], Some(Serving::Serving)),
            (&[0x12, 2, 9, 9, 8, 1, 0x18, 7], Some(Serving::Serving)),
            (&[0x0d, 1, 2, 3, 4, 8, 1], Some(Serving::Serving)),
            (&[0x12, 9, 8, 1], None),
            (&[8], None),
            (&[0x0b], None),
        ] {
            assert_eq!(answer(&framed(message)), says, "{message:?}");
        }
        for body in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8, 1]] {
            assert_eq!(answer(body), None, "{body:?}");
        }
    }
}
