//! A secret on its way to the running server: wiped when dropped, redacted in Debug, hexadecimal on the wire so that reading it makes
//! no copies.

use crate::crypto::{SecretBytes, hash};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// The text of an officer's share.
#[derive(Clone, Debug)]
pub struct Hidden(pub SecretBytes);

impl PartialEq for Hidden {
    fn eq(&self, other: &Hidden) -> bool {
        self.0.expose() == other.0.expose()
    }
}
impl Eq for Hidden {}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hash::hex(self.0.expose())))
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hidden, D::Error> {
        let digits = Zeroizing::new(String::deserialize(deserializer)?);
        let octets = hash::unhex(&digits).ok_or_else(|| de::Error::custom("not hexadecimal"))?;
        Ok(Hidden(SecretBytes::new(octets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_and_is_not_shown() {
        let hidden = Hidden(SecretBytes::new(b"piece".to_vec()));
        let line = serde_json::to_string(&hidden).expect("JSON");
        assert_eq!(line, "\"7069656365\"");
        assert_eq!(serde_json::from_str::<Hidden>(&line).expect("read"), hidden);
        assert!(serde_json::from_str::<Hidden>("\"xy\"").is_err());
        assert!(!format!("{hidden:?}").contains("piece"));
    }
}
