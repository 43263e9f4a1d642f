//! `rkllm::npu::board` on recorded trees, on hostile ones, and on random texts.
#![cfg(feature = "npu")]

mod cases;
mod expected;
mod hostile;
mod texts;
mod trees;

use std::path::PathBuf;

use rkllm::npu::board::{Board, Finding, Root, Severity, Verdict, diagnose};

/// A tree of `tests/data/boards`.
fn tree(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/boards").join(name)
}

/// What is found in a tree.
struct Found {
    board: Board,
    findings: Vec<Finding>,
    verdict: Verdict,
}

impl Found {
    fn of(root: &Root) -> Self {
        let board = Board::probe(root);
        let findings = diagnose(&board);
        let verdict = Verdict::of(&board, &findings);
        Self { board, findings, verdict }
    }

    fn in_tree(name: &str) -> Self {
        Self::of(&Root::open(tree(name)).unwrap())
    }

    /// The ids of one severity, in their order.
    fn ids(&self, severity: Severity) -> Vec<&'static str> {
        let of = self.findings.iter().filter(|finding| finding.severity == severity);
        of.map(|finding| finding.id).collect()
    }

    fn get(&self, id: &str) -> &Finding {
        self.findings
            .iter()
            .find(|finding| finding.id == id)
            .unwrap_or_else(|| panic!("no {id} in {:#?}", self.findings))
    }

    /// Everything that is said about `id`, in one line.
    fn said(&self, id: &str) -> String {
        let Finding { what, cause, fix, reference, .. } = self.get(id);
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{what} | {} | {} | {}", text(cause), text(fix), reference.unwrap_or_default())
    }

    /// What holds of every report, whatever was read.
    fn check(&self) {
        let mut ids: Vec<&str> = self.findings.iter().map(|finding| finding.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), self.findings.len(), "an id twice");
        for finding in &self.findings {
            let Finding { severity, what, cause, fix, reference, .. } = finding;
            let advised = cause.is_some() && fix.is_some() && reference.is_some();
            assert_eq!(advised, *severity != Severity::Ok, "{finding:?}");
            assert!(reference.is_none_or(|url| url.starts_with("https://")), "{finding:?}");
            for text in [Some(what), cause.as_ref(), fix.as_ref()].into_iter().flatten() {
                assert!(!text.is_empty() && text.len() < 4000, "{finding:?}");
                assert!(!text.chars().any(char::is_control), "{finding:?}");
            }
        }
        let areas: Vec<_> = self.findings.iter().map(|finding| finding.area).collect();
        assert!(areas.is_sorted(), "{areas:?}");
        let errors = !self.ids(Severity::Error).is_empty();
        assert_eq!(self.verdict.can_run(), !errors, "{:?}", self.verdict);
        for what in self.board.unread() {
            assert!(what.starts_with('/') && what.len() < 400, "{what}");
            assert!(!what.chars().any(char::is_control), "{what:?}");
        }
    }
}
