//! What a guest can make wrong of a ring. Each ends the use of its rings until it sets them up anew.

/// Why a guest's rings can't be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The ring itself is not where the guest says.
    #[error("a ring lies outside its memory, or not at a multiple of what it must")]
    Ring,
    /// More is said to be available than there are descriptors.
    #[error("its ring says that {0} buffers are new, more than it has")]
    Available(u16),
    /// A descriptor that does not exist.
    #[error("its ring names descriptor {0}, which does not exist")]
    NoSuchDescriptor(u16),
    /// A chain that is longer than the ring, or never ends.
    #[error("a chain of descriptors has no end")]
    EndlessChain,
    /// A buffer outside the guest's memory.
    #[error("a buffer of {1} bytes at {0:#x} lies outside its memory")]
    Outside(u64, u32),
    /// A buffer to write to that is only to be read.
    #[error("a buffer for what it receives is not to be written")]
    NotWritable,
    /// An indirect table within another, with a chain behind it, or of no or half an entry.
    #[error("an indirect table is not as one must be")]
    Indirect,
    /// The file that holds its memory was cut short.
    #[error("the file that holds its memory was cut short while in use")]
    Cut,
}
