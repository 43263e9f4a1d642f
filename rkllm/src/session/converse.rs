//! `Converse`: a conversation, whatever computes it.

use std::ops::ControlFlow;

use super::chat::Chat;
use super::statistics::Statistics;
use crate::Result;

/// What a program needs of a conversation that may run on the CPU or on the NPU.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use rkllm::session::{Converse, Model};
///
/// # fn on_a_board() -> bool { false }
/// let mut chat: Box<dyn Converse> = match on_a_board() {
///     # #[cfg(feature = "npu")]
///     true => {
///         let model = rkllm::npu::NpuOptions::default().load("tutor.rkllm")?;
///         Box::new(rkllm::session::NpuChat::new(model))
///     }
///     _ => Box::new(Model::open("models/tutor-nano")?.chat().start()?),
/// };
/// chat.converse("¿Qué es la ley de Ohm?", &mut |piece| {
///     print!("{piece}");
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), rkllm::Error>(())
/// ```
pub trait Converse {
    /// Asks and hands out the answer piece by piece, each of whole characters; a break ends it.
    ///
    /// # Errors
    /// What asking and answering report.
    fn converse(
        &mut self,
        question: &str,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Statistics>;

    /// Forgets what was said; instructions for the whole conversation stay.
    ///
    /// # Errors
    /// What the device reports.
    fn forget(&mut self) -> Result<()>;
}

/// Hands out pieces until there are no more or a break.
pub(super) fn hand_out(
    pieces: impl Iterator<Item = Result<String>>,
    on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<()> {
    for piece in pieces {
        if on_piece(&piece?).is_break() {
            break;
        }
    }
    Ok(())
}

impl Converse for Chat {
    fn converse(
        &mut self,
        question: &str,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Statistics> {
        let mut answer = self.ask(question)?;
        hand_out(&mut answer, on_piece)?;
        answer.cancel();
        Ok(*answer.statistics())
    }

    fn forget(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }
}
