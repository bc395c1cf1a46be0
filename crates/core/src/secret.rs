//! A value that cannot be printed, logged or serialized by accident.

/// Secret keys, tokens, passwords. No `Debug`, `Display`, `Serialize` or `PartialEq` (compare in
/// constant time where it matters): whoever needs the text says so with [`Secret::expose`].
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }
    /// The value itself. Never hand it to a formatter.
    pub fn expose(&self) -> &T {
        &self.0
    }
    /// The value itself, by value.
    pub fn into_exposed(self) -> T {
        self.0
    }
}
