//! Secrets, typed so that they cannot be printed: no `Debug` of the value, no `Display`, no `Clone`, no `Serialize`.

pub use secrecy::{ExposeSecret, SecretSlice, SecretString};
