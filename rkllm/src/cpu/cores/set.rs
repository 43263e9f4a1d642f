//! A set of processors by the numbers Linux gives them.

use std::fmt;

/// Processors a set can name: more than any kernel is built for.
pub(super) const MOST: usize = 8192;
const WORDS: usize = MOST / 64;

/// A set of processors. Prints as Linux writes lists: `0-3,6`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Adds a processor; numbers no kernel gives are left out.
    pub fn insert(&mut self, cpu: usize) {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word |= 1 << (cpu % 64);
        }
    }

    /// True if it is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word & (1 << (cpu % 64)) != 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The processors in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// The processors of this set that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// The processors, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0;
        (0..MOST).filter(move |cpu| words[cpu / 64] & (1 << (cpu % 64)) != 0)
    }

    /// Reads a list such as `0-3,6`; `None` for text that is none, or that names a processor no kernel
    /// has. Empty text is the empty set.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::new();
        let text = text.trim();
        if text.is_empty() {
            return Some(set);
        }
        for part in text.split(',') {
            let number = |text: &str| text.parse::<usize>().ok().filter(|&cpu| cpu < MOST);
            let (first, last) = match part.trim().split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part.trim())?, number(part.trim())?),
            };
            if first > last {
                return None;
            }
            (first..=last).for_each(|cpu| set.insert(cpu));
        }
        Some(set)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    #[cfg(target_os = "linux")]
    pub(super) fn words_mut(&mut self) -> &mut [u64; WORDS] {
        &mut self.0
    }
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<T: IntoIterator<Item = usize>>(cpus: T) -> Self {
        let mut set = Self::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_linux_does() {
        for text in ["", "0", "0-3", "0-3,6", "1,3,5", "0,8191"] {
            assert_eq!(CpuSet::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(CpuSet::parse(" 0-1,2 \n").unwrap().to_string(), "0-2");
        let set = CpuSet::parse("0-3,6").unwrap();
        assert_eq!(
            (set.len(), set.contains(6), set.contains(5), set.contains(1 << 40)),
            (5, true, false, false)
        );
        assert_eq!(set.without(&CpuSet::parse("1-2").unwrap()).to_string(), "0,3,6");
        assert_eq!(set.and(&CpuSet::parse("3-9").unwrap()).to_string(), "3,6");
    }

    #[test]
    fn what_is_no_list_is_refused_and_costs_nothing() {
        for text in [
            "3-1",
            "0-4294967295",
            "8192",
            "a",
            "1,,2",
            "-1",
            "1-",
            "0-18446744073709551615",
            "1 2",
        ] {
            assert_eq!(CpuSet::parse(text), None, "{text}");
        }
    }
}
