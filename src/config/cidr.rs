//! Networks in CIDR form: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network. IPv4 is kept as IPv4-mapped IPv6, so that one compare answers for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
}

impl Cidr {
    /// Whether an address belongs to it; `::ffff:10.0.0.1` counts as `10.0.0.1`.
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        bits(ip) & self.mask == self.network
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let ip: IpAddr = address.parse().map_err(|_| "must be a network such as \"10.0.0.0/8\" or \"fd00::/8\", or an IP address")?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|length| *length <= width)
                .ok_or_else(|| format!("the part after \"/\" must be from 0 to {width}"))?,
            Some(_) => return Err(format!("the part after \"/\" must be a number from 0 to {width}")),
        };
        let host = width - length;
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        let network = bits(ip) & mask;
        if network != bits(ip) {
            return Err(format!("sets bits of the host part; the network is \"{}/{length}\"", address_of(network, ip.is_ipv4())));
        }
        Ok(Cidr { network, mask })
    }
}

#[inline]
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address_of(bits: u128, ipv4: bool) -> IpAddr {
    let ip = IpAddr::V6(Ipv6Addr::from_bits(bits));
    if ipv4 { ip.to_canonical() } else { ip }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn holds(network: &str, ip: &str) -> bool {
        network.parse::<Cidr>().unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn each_form_is_read() {
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe80::1"));
        assert!(holds("::1", "::1") && !holds("::1", "::2"));
        assert!(holds("0.0.0.0/0", "255.0.0.1") && !holds("0.0.0.0/0", "::1") && holds("::/0", "::1"));
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3") && holds("::ffff:10.0.0.0/104", "10.1.2.3"));
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "must be a network such as \"10.0.0.0/8\" or \"fd00::/8\", or an IP address"),
            ("localhost", "must be a network such as \"10.0.0.0/8\" or \"fd00::/8\", or an IP address"),
            ("10.0.0.0/33", "the part after \"/\" must be from 0 to 32"),
            ("::/129", "the part after \"/\" must be from 0 to 128"),
            ("10.0.0.0/", "the part after \"/\" must be a number from 0 to 32"),
            ("10.0.0.0/+8", "the part after \"/\" must be a number from 0 to 32"),
            ("10.1.0.0/8", "sets bits of the host part; the network is \"10.0.0.0/8\""),
            ("fd00::1/8", "sets bits of the host part; the network is \"fd00::/8\""),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(reason.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_network_holds_what_shares_its_leading_bits(a: u32, b: u32, same in 0u32..=32, length in 0u32..=32) {
            let keep = |bits: u32| u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let b = (a & keep(same)) | (b & !keep(same));
            let network: Cidr = format!("{}/{length}", Ipv4Addr::from(a & keep(length))).parse().unwrap();
            let naive = (0..length).all(|bit| a >> (31 - bit) & 1 == b >> (31 - bit) & 1);
            prop_assert_eq!(network.contains(IpAddr::V4(b.into())), naive);
        }
    }
}
