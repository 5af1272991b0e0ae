//! Values for the holes of a prepared call.

use crate::{Argument, PreparedCall, Value};

/// Values for the holes of a prepared call, by name. What is not given leaves its optional group out.
///
/// ```
/// use sandboxer_sdk::Arguments;
/// let arguments = Arguments::new().text("service", "web").items("command", ["ls", "-l"]);
/// assert_eq!(arguments.len(), 2);
/// ```
#[derive(Debug, Default, Clone)]
pub struct Arguments(Vec<Argument>);

impl Arguments {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Text.
    #[must_use]
    pub fn text(self, hole: &str, value: impl Into<String>) -> Self {
        self.with(hole, Value::Text(value.into()))
    }

    /// Text for a hole of an optional group, when there is some.
    #[must_use]
    pub fn optional_text(self, hole: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.text(hole, value),
            None => self,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn integer(self, hole: &str, value: i64) -> Self {
        self.with(hole, Value::Integer(value))
    }

    /// Rest arguments, or the repetitions of an optional group.
    #[must_use]
    pub fn items<I: IntoIterator<Item = S>, S: Into<String>>(self, hole: &str, values: I) -> Self {
        self.with(hole, Value::Items(values.into_iter().map(Into::into).collect()))
    }

    /// The prepared call with these values, as the answer to [`Access`](crate::Access).
    #[must_use]
    pub fn call(self, grant: &str, call: &str) -> PreparedCall {
        PreparedCall { grant: grant.to_owned(), call: call.to_owned(), arguments: self.0 }
    }

    fn with(mut self, hole: &str, value: Value) -> Self {
        self.0.push(Argument { hole: hole.to_owned(), value });
        self
    }
}

impl std::ops::Deref for Arguments {
    type Target = [Argument];

    fn deref(&self) -> &[Argument] {
        &self.0
    }
}
