//! HPACK's Huffman code (RFC 7541, appendix B), decoded. It is canonical: codes of a length are in the order of what they stand for,
//! longer ones behind shorter ones. So its symbols in order and how many there are of each length say all of it.

/// How many symbols have a code of so many bits.
const COUNTS: [(u32, usize); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 3),
];

#[rustfmt::skip]
const SYMBOLS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55,
    56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68,
    69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89,
    106, 107, 113, 118, 119, 120, 121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39,
    43, 124, 35, 62, 0, 36, 64, 91, 93, 126, 94, 125, 60, 96, 123, 92, 195, 208, 128, 130,
    131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129,
    132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
    196, 198, 228, 232, 233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157,
    158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159,
    171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219,
    238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250,
    251, 252, 253, 254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20,
    21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249, 10, 13, 22,
];

/// Codes of one length. Codes are aligned to the left of 32 bits.
struct Row {
    bits: u32,
    first: u32,
    /// Behind the last.
    end: u32,
    /// Where its symbols begin.
    symbols: usize,
}

const ROWS: [Row; COUNTS.len()] = {
    let mut rows = [const { Row { bits: 0, first: 0, end: 0, symbols: 0 } }; COUNTS.len()];
    let (mut code, mut symbols, mut at) = (0, 0, 0);
    while at < COUNTS.len() {
        let (bits, count) = COUNTS[at];
        let end = code + ((count as u32) << (32 - bits));
        rows[at] = Row { bits, first: code, end, symbols };
        (code, symbols, at) = (end, symbols + count, at + 1);
    }
    rows
};

/// Appends what these bytes say; whether they are whole codes and padding (section 5.2).
pub fn decode(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut window, mut bits, mut rest) = (0u64, 0, bytes.iter());
    loop {
        while bits <= 56
            && let Some(byte) = rest.next()
        {
            window |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        // No code of less than 8 bits is all ones.
        if bits < 8 && window.leading_ones() >= bits {
            return true;
        }
        let code = (window >> 32) as u32;
        let Some(row) = ROWS.iter().find(|row| code < row.end).filter(|row| row.bits <= bits) else { return false };
        out.push(SYMBOLS[row.symbols + ((code - row.first) >> (32 - row.bits)) as usize]);
        window <<= row.bits;
        bits -= row.bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let (mut bits, mut bytes) = (String::new(), Vec::new());
        for byte in text {
            let at = SYMBOLS.iter().position(|symbol| symbol == byte).unwrap();
            let row = ROWS.iter().rfind(|row| row.symbols <= at).unwrap();
            let code = (row.first >> (32 - row.bits)) as usize + at - row.symbols;
            bits.push_str(&format!("{code:0width$b}", width = row.bits as usize));
        }
        while bits.len() % 8 != 0 {
            bits.push('1');
        }
        for at in (0..bits.len()).step_by(8) {
            bytes.push(u8::from_str_radix(&bits[at..at + 8], 2).unwrap());
        }
        bytes
    }

    #[test]
    fn the_examples_of_the_rfc_and_every_symbol() {
        for (code, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0x64, 0x02], "302"),
            (
                &[0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
                "https://www.example.com",
            ),
            (&[], ""),
        ] {
            let mut out = Vec::new();
            assert!(decode(code, &mut out), "{text}");
            assert_eq!((String::from_utf8(out).unwrap(), encode(text.as_bytes())), (text.to_owned(), code.to_vec()));
        }
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let mut out = Vec::new();
        assert!(decode(&encode(&all), &mut out) && out == all);
    }

    #[test]
    fn half_codes_and_wrong_padding_are_told() {
        // A zero in the padding, a whole byte of it, the end's own code, and half of one.
        for wrong in [&[0x00][..], &[0x64, 0x02, 0xff], &[0xff, 0xff, 0xff, 0xff], &[0xff, 0xff]] {
            assert!(!decode(wrong, &mut Vec::new()), "{wrong:?}");
        }
    }
}
