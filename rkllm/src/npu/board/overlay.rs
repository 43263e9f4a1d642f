//! What an archive of a board cannot keep: device files, owners and modes.
//!
//! A recorded tree may hold a file `.modes` with one line per path:
//! `TYPE MODE UID GID PATH`, TYPE being `f`, `d`, `c` (character device), `l` (symbolic link, its path
//! followed by ` -> TARGET`) or `t` (a short file, its path followed by ` = CONTENTS` with `\n`, `\t` and
//! `\0` for the characters of those names), MODE octal, PATH without a leading slash. It wins over what
//! lies in the tree, and what it names need not lie there.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::{Error, ErrorKind, Result};

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A file whose contents are known.
    Text(String),
    Directory,
    /// A character device, or anything else that has no contents to read.
    Device,
    Link(String),
}

/// What `stat` would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Entries by path.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay(BTreeMap<String, Entry>);

impl Overlay {
    /// # Errors
    /// [`ErrorKind::Format`], naming the line.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (path, entry) = parse_line(line).ok_or_else(|| {
                Error::new(ErrorKind::Format, format!("line {}: {line:?}", number + 1)).with_hint(
                    "a line is TYPE MODE UID GID PATH, for example `c 0660 0 44 dev/dri/card1`",
                )
            })?;
            entries.insert(path, entry);
        }
        Ok(Self(entries))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// Names directly below `dir`.
    pub(super) fn children<'a>(&'a self, dir: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let from = self.0.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        from.map_while(move |(path, _)| {
            path.strip_prefix(&prefix).map(|rest| rest.split('/').next().unwrap_or_default())
        })
        .filter(|name| !name.is_empty())
    }

    /// True if something is named below `dir`, so that the directory exists.
    pub(super) fn has_below(&self, dir: &str) -> bool {
        self.children(dir).next().is_some()
    }
}

fn parse_line(line: &str) -> Option<(String, Entry)> {
    let mut words = line.splitn(5, ' ');
    let kind = words.next()?;
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (uid, gid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let rest = words.next()?.trim();
    let (path, kind) = match kind {
        "f" => (rest, Kind::File),
        "d" => (rest, Kind::Directory),
        "c" => (rest, Kind::Device),
        "t" => {
            let (path, contents) =
                rest.split_once(" = ").or_else(|| Some((rest.strip_suffix(" =")?, "")))?;
            let contents = contents.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0");
            (path, Kind::Text(contents))
        }
        "l" => {
            let (path, target) = rest.split_once(" -> ")?;
            (path, Kind::Link(target.to_owned()))
        }
        _ => return None,
    };
    let path = path.trim_matches('/').to_owned();
    (!path.is_empty()).then_some((path, Entry { kind, mode, uid, gid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_git_forgets() {
        let overlay = Overlay::parse(
            "# devices\n\nc 0660 0 44 dev/dri/card1\nl 0777 0 0 dev/rknpu -> dri/card1\nd 0700 0 0 sys/kernel/debug\n",
        )
        .unwrap();
        let card = overlay.get("dev/dri/card1").unwrap();
        assert_eq!((card.mode, card.gid), (0o660, 44));
        let text = Overlay::parse("t 0444 0 0 a/b = x = y\\0z\\0\nt 0444 0 0 a/c =").unwrap();
        assert_eq!(text.get("a/b").unwrap().kind, Kind::Text("x = y\0z\0".into()));
        assert_eq!(text.get("a/c").unwrap().kind, Kind::Text(String::new()));
        assert_eq!(overlay.get("dev/rknpu").unwrap().kind, Kind::Link("dri/card1".into()));
        assert_eq!(overlay.children("dev").collect::<Vec<_>>(), ["dri", "rknpu"]);
        assert!(overlay.has_below("dev/dri") && !overlay.has_below("dev/dri/card1"));
    }

    #[test]
    fn a_bad_line_is_named() {
        for line in [
            "c 0660 0 44",
            "t 0444 0 0 x",
            "c 0990 0 0 x",
            "q 0660 0 0 x",
            "l 0777 0 0 x",
            "c 0660 root 44 x",
        ] {
            let error = Overlay::parse(&format!("f 0400 0 0 a\n{line}")).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }
}
