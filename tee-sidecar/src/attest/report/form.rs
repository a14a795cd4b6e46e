//! The forms in which evidence is asked for: each binds other things, so each has its own quote.

/// What a document binds, and how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A report: address and nonce.
    Common,
    /// A report: address, TLS key and nonce.
    Tls,
    /// A report: `binding=v2`.
    Bound,
    /// 0G's quote: the address in ASCII, no nonce.
    Legacy,
    /// A report of Attested Confidential Inference: the keyset, and the nonce if there is one.
    Aci,
}

impl Form {
    /// How many there are.
    pub(super) const COUNT: usize = 5;
}
