//! Reading fixed layouts: a cursor over octets that never reads past the end and never allocates.

/// Why octets are not what they should be. A short noun phrase, for findings and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The octets not yet read.
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// From the first octet on.
    pub fn new(octets: &'a [u8]) -> Cursor<'a> {
        Cursor(octets)
    }
    /// The next `n` octets.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }
    /// The next `N` octets as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("cut short"))
    }
    /// One octet.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }
    /// Two octets, big-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }
    /// Four octets, big-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }
    /// Eight octets, big-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }
    /// Eight octets, big-endian, two's complement.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }
    /// Exactly these octets.
    pub fn expect(&mut self, octets: &[u8], what: &'static str) -> Result<(), Malformed> {
        if self.take(octets.len())? == octets { Ok(()) } else { Err(Malformed(what)) }
    }
    /// `n` reserved octets, all zero.
    pub fn zeros(&mut self, n: usize) -> Result<(), Malformed> {
        if self.take(n)?.iter().all(|&o| o == 0) { Ok(()) } else { Err(Malformed("reserved octets are not zero")) }
    }
    /// A LEB128 number in its shortest form, at most 10 octets.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.u8()?;
            let bits = u64::from(octet & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if octet & 0x80 == 0 {
                let shortest = octet != 0 || shift == 0;
                return if shortest { Ok(value) } else { Err(Malformed("number is not in shortest form")) };
            }
        }
        Err(Malformed("number over 64 bits"))
    }
    /// Nothing may be left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("octets behind the end")) }
    }
}

/// Appends `value` as LEB128 in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut cursor = Cursor::new(&out);
            assert_eq!(cursor.varint(), Ok(value));
            assert_eq!(cursor.end(), Ok(()));
        }
        let eleven: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        for bad in [&[0x80, 0x00][..], &[0x80], eleven, &[]] {
            assert!(Cursor::new(bad).varint().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_read_past_the_end_or_left_behind() {
        let mut cursor = Cursor::new(&[0, 0, 1, 2]);
        assert_eq!(cursor.zeros(2), Ok(()));
        assert_eq!(cursor.u16(), Ok(0x0102));
        assert!(cursor.u8().is_err());
        assert!(Cursor::new(&[1]).zeros(1).is_err());
        assert!(Cursor::new(&[1]).end().is_err());
    }
}
