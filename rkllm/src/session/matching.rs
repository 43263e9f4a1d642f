//! How far an answer has matched its constraint.

#[cfg(feature = "constrain")]
pub(super) use guided::Matching;
#[cfg(not(feature = "constrain"))]
pub(super) use never::Matching;

#[cfg(feature = "constrain")]
mod guided {
    use std::sync::Arc;

    use llguidance::Matcher;
    use llguidance::toktrie::{SimpleVob, TokEnv};

    use crate::Result;
    use crate::session::constraint::{NO_TOKEN, stuck, words};

    /// One answer under a constraint. It goes with the answer: the next one begins anew.
    pub(in crate::session) struct Matching {
        matcher: Matcher,
        tokens: TokEnv,
        /// Bytes of a character that is not whole yet.
        pending: Vec<u8>,
    }

    /// Tokens that may come next.
    pub(in crate::session) struct Allowed(SimpleVob);

    impl Allowed {
        pub(in crate::session) fn has(&self, id: u32) -> bool {
            (id as usize) < self.0.len() && self.0.is_allowed(id)
        }
    }

    impl Matching {
        /// `matcher` before its first token; the last word of `tokens` stands for the end.
        pub(in crate::session) fn new(matcher: Matcher, tokens: &TokEnv) -> Self {
            Self { matcher, tokens: Arc::clone(tokens), pending: Vec::new() }
        }

        /// What may come next of a model of `vocab` tokens, `eos` of which end an answer; `None` if
        /// nothing may, and the answer is all that was asked for.
        ///
        /// # Errors
        /// [`ErrorKind::Input`](crate::ErrorKind::Input) if the constraint is too complex to go on, and if the vocabulary has no
        /// token that it asks for.
        pub(in crate::session) fn allowed(
            &mut self,
            vocab: usize,
            eos: &[u32],
        ) -> Result<Option<Allowed>> {
            if self.is_complete() {
                return Ok(None);
            }
            let mask = self.matcher.compute_mask();
            let mut mask = mask.map_err(|error| stuck(&error.to_string()))?;
            let end = self.tokens.tok_trie().eos_token();
            let may_end = mask.is_allowed(end);
            // A model may have more logits than its tokenizer has tokens.
            mask.disallow_token(end);
            let words = words(&self.tokens).min(vocab);
            if mask.first_bit_set().is_none_or(|first| first >= words) {
                return match may_end {
                    true => Ok(None),
                    false => Err(stuck(NO_TOKEN)),
                };
            }
            if may_end {
                eos.iter()
                    .filter(|&&id| (id as usize) < words)
                    .for_each(|&id| mask.allow_token(id));
            }
            Ok(Some(Allowed(mask)))
        }

        /// Goes on by a token that was allowed, and returns the text that is now whole.
        ///
        /// # Errors
        /// [`ErrorKind::Input`](crate::ErrorKind::Input) if the constraint is too complex to go on.
        pub(in crate::session) fn take(&mut self, token: u32) -> Result<String> {
            let taken = self.matcher.consume_token(token);
            taken.map_err(|error| stuck(&error.to_string()))?;
            self.pending.extend_from_slice(self.tokens.tok_trie().token(token));
            let whole = match std::str::from_utf8(&self.pending) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let rest = self.pending.split_off(whole);
            let text = std::mem::replace(&mut self.pending, rest);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }

        /// True if the answer is all that was asked for and nothing may follow.
        pub(in crate::session) fn is_complete(&self) -> bool {
            self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
        }
    }
}

#[cfg(not(feature = "constrain"))]
mod never {
    use crate::Result;

    /// There are no constraints without the feature `constrain`.
    pub(in crate::session) enum Matching {}

    pub(in crate::session) enum Allowed {}

    impl Allowed {
        pub(in crate::session) fn has(&self, _: u32) -> bool {
            match *self {}
        }
    }

    impl Matching {
        pub(in crate::session) fn allowed(
            &mut self,
            _: usize,
            _: &[u32],
        ) -> Result<Option<Allowed>> {
            match *self {}
        }

        pub(in crate::session) fn take(&mut self, _: u32) -> Result<String> {
            match *self {}
        }

        pub(in crate::session) fn is_complete(&self) -> bool {
            match *self {}
        }
    }
}
